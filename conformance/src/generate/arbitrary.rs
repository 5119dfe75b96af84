//! Programs out of a fuzzer's bytes: [`Arbitrary`] for [`Sample`].
//!
//! The bytes are the generator's decisions, one after the other (see [`Bytes`]). Any bytes are a program, and those
//! that the program did not need are left for whoever comes next.

use super::{Sample, choices::Bytes, scenario::Scenario};
use arbitrary::{Arbitrary, Result, Unstructured};

impl<'a> Arbitrary<'a> for Sample {
    fn arbitrary(source: &mut Unstructured<'a>) -> Result<Self> {
        let mut bytes = Bytes(source.peek_bytes(source.len()).unwrap_or_default());
        let program = Scenario::default().draw(&mut bytes);
        source.bytes(source.len() - bytes.0.len())?;
        Ok(Sample(program))
    }

    fn size_hint(_depth: usize) -> (usize, Option<usize>) {
        // The empty program takes none.
        (0, None)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arbitrary, Sample};

    #[test]
    fn a_program_may_take_no_byte_and_any_number_of_them() {
        assert_eq!(Sample::size_hint(0), (0, None));
    }
}
