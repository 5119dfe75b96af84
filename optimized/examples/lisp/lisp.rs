//! A Lisp on the heap, to be copied from.
//!
//! All that a program makes lives on the heap, and its threads share it. What is no object is an odd word, which the
//! collector leaves alone: integers end in 01, constants in 11. The first word of an object is such a number: its kind, and
//! above that the line that made it, or the length of a name.
//!
//! Invariant: a [`Value`] that a function gives is in a root slot until the [`Lisp::nested`] ends in which it was asked
//! for, or something that is holds it for good. So whatever makes an object, or takes one from where others may
//! overwrite it, [keeps](Lisp::keep) it; and as objects do not move, addresses can be used until then. A thread finds
//! its first object in a channel: from one thread's slots straight to another's, it would pass the write barrier by.

use field::*;
use heaplaw_optimized::{Heap, Raw};
use std::{sync::OnceLock, thread, thread::Scope};

/// A number, a constant, or the address of an object; 0 where nothing is bound.
type Value = usize;
const NIL: Value = 3;
const FALSE: Value = 7;
const TRUTH: [Value; 2] = [FALSE, 11];
/// The constants from here on are special forms, and from there on procedures.
const FORMS: [&str; 7] = ["quote", "if", "begin", "lambda", "define", "set!", "let"];
const FORM: usize = 16;
const PROCEDURE: usize = 32;
/// What values are. Those of the first kinds are objects.
#[rustfmt::skip]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind { Pair, Symbol, Closure, Binding, Channel, Integer, Constant }

/// Fields of pairs; of symbols, whose name follows in bytes, and bindings, both in chains; of closures; of channels. And the
/// globals: the chain of symbols, and the channel that new threads take their work from.
#[rustfmt::skip]
mod field {
    pub(crate) const CAR: usize = 1;        pub(crate) const CDR: usize = 2;
    pub(crate) const NEXT: usize = 1;       pub(crate) const VALUE: usize = 2;  pub(crate) const NAME: usize = 3;
    pub(crate) const PARAMETERS: usize = 1; pub(crate) const BODY: usize = 2;   pub(crate) const SCOPE: usize = 3;
    pub(crate) const CONTENT: usize = 1;    pub(crate) const SYMBOLS: usize = 0; pub(crate) const JOBS: usize = 1;
}
/// How deep forms may be nested while they are read or evaluated, which tail calls are not; and what that needs.
const DEPTH: usize = 10_000;
const STACK: usize = 256 << 20;

#[rustfmt::skip]
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    Syntax(&'static str), Unbound(String), Type { wanted: Kind, given: String }, Arguments,
    Arithmetic, TooDeep, Heap(heaplaw_optimized::Error), Stopped,
}

/// What is wrong with a program, and in which line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Error(pub(crate) What, pub(crate) usize);
type Outcome<T = Value> = Result<T, What>;

/// What the threads of a program share beside the heap, none of it a value: what is done before each allocation, if anything
/// is, while the thread is parked; and what is wrong with the thread that failed first.
pub(crate) struct World<'w> {
    pub(crate) heap: &'w Heap,
    pub(crate) print: &'w (dyn Fn(&str) + Sync),
    pub(crate) before: Option<fn(&Heap)>,
    pub(crate) failure: OnceLock<Error>,
}

impl World<'_> {
    /// Runs a program, and forgets it: all that it has made is garbage.
    pub(crate) fn run(self, source: &str) -> Result<(), Error> {
        thread::scope(|scope| self.start(scope, |lisp| lisp.program(source)));
        self.heap.join().raw(|raw| [SYMBOLS, JOBS].map(|global| raw.set_global(global, 0)));
        self.failure.into_inner().map_or(Ok(()), Err)
    }

    /// Starts a thread, which joins the heap as a mutator.
    fn start<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        job: impl FnOnce(&mut Lisp<'_, '_, 's, '_>) -> Outcome + Send + 's,
    ) {
        let run = |raw: &mut Raw<'_>| {
            let mut lisp = Lisp { raw, world: self, scope, depth: 0, line: 0 };
            // If another has failed before, this only follows from it.
            _ = job(&mut lisp).map_err(|what| self.failure.set(Error(what, lisp.line)));
        };
        thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || self.heap.join().raw(run)).expect("a thread");
    }
}

/// The words of a source, with their lines, the last first.
fn tokens(source: &str) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    for (line, text) in (1..).zip(source.lines()) {
        let text = text.split(';').next().unwrap_or_default().replace('(', " ( ").replace(')', " ) ");
        tokens.extend(text.split_whitespace().map(|word| (line, word.to_owned())));
    }
    tokens.into_iter().rev().collect()
}

fn integer(number: Option<i64>) -> Outcome {
    number.filter(|n| n << 2 >> 2 == *n).map(|n| (n << 2 | 1) as Value).ok_or(What::Arithmetic)
}

/// A thread of a program; how deep it is, and in which line.
pub(crate) struct Lisp<'r, 'm, 's, 'e> {
    raw: &'r mut Raw<'m>,
    world: &'s World<'s>,
    scope: &'s Scope<'s, 'e>,
    depth: usize,
    line: usize,
}

/// What procedures are called, how many arguments they take, and what they do.
type Procedure = (&'static str, usize, fn(&mut Lisp<'_, '_, '_, '_>, [Value; 2]) -> Outcome);
const PROCEDURES: [Procedure; 17] = [
    ("+", 2, |lisp, of| lisp.arithmetic(of, i64::checked_add)),
    ("-", 2, |lisp, of| lisp.arithmetic(of, i64::checked_sub)),
    ("*", 2, |lisp, of| lisp.arithmetic(of, i64::checked_mul)),
    ("quotient", 2, |lisp, of| lisp.arithmetic(of, i64::checked_div)),
    ("remainder", 2, |lisp, of| lisp.arithmetic(of, i64::checked_rem)),
    ("<", 2, |lisp, [a, b]| Ok(TRUTH[usize::from(lisp.number(a)? < lisp.number(b)?)])),
    ("=", 2, |_, [a, b]| Ok(TRUTH[usize::from(a == b)])),
    ("null?", 1, |_, [list, _]| Ok(TRUTH[usize::from(list == NIL)])),
    ("pair?", 1, |lisp, [value, _]| Ok(TRUTH[usize::from(lisp.kind(value) == Kind::Pair)])),
    ("cons", 2, |lisp, pair| lisp.make(Kind::Pair, pair)),
    ("car", 1, |lisp, [pair, _]| lisp.part(pair, 0)),
    ("cdr", 1, |lisp, [pair, _]| lisp.rest(pair, 1)),
    ("print", 1, |lisp, [value, _]| {
        let (world, text) = (lisp.world, lisp.shown(value, 0));
        lisp.raw.park(|| (world.print)(&text));
        Ok(value)
    }),
    ("channel", 0, |lisp, _| lisp.make(Kind::Channel, [0])),
    ("send", 2, |lisp, [channel, value]| lisp.send(channel, value)),
    ("receive", 1, |lisp, [channel, _]| lisp.receive(channel)),
    ("spawn", 1, |lisp, [procedure, _]| {
        let channel = lisp.make(Kind::Channel, [0])?;
        let job = lisp.make(Kind::Pair, [procedure, channel])?;
        lisp.send(lisp.raw.global(JOBS), job)?;
        lisp.world.start(lisp.scope, |lisp| {
            let job = lisp.receive(lisp.raw.global(JOBS))?;
            let call = lisp.make(Kind::Pair, [lisp.raw.load(job, CAR), NIL])?;
            lisp.eval(call, NIL).and_then(|value| lisp.send(lisp.raw.load(job, CDR), value))
        });
        Ok(channel)
    }),
];

impl Lisp<'_, '_, '_, '_> {
    fn program(&mut self, source: &str) -> Outcome {
        let jobs = self.make(Kind::Channel, [0])?;
        self.raw.set_global(JOBS, jobs);
        let names = (PROCEDURE..).zip(PROCEDURES.map(|procedure| procedure.0));
        for (constant, name) in (FORM..).zip(FORMS).chain(names).chain([(1, "#f"), (2, "#t")]) {
            let symbol = self.symbol(name)?;
            self.raw.store(symbol, VALUE, constant << 2 | 3);
        }
        let mut tokens = tokens(source);
        while !tokens.is_empty() {
            self.nested(|lisp| lisp.read(&mut tokens).and_then(|form| lisp.eval(form, NIL)))?;
        }
        Ok(NIL)
    }

    /// Puts a value in a slot.
    fn keep(&mut self, value: Value) -> Value {
        self.raw.push(value);
        value
    }

    /// Does something one level deeper, and keeps only what it gives.
    fn nested(&mut self, body: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        let (slot, line) = (self.raw.push(0), self.line);
        self.depth += 1;
        let value = if self.depth > DEPTH { Err(What::TooDeep) } else { body(self) }?;
        (self.depth, self.line) = (self.depth - 1, line);
        self.raw.pop_to(slot);
        Ok(self.keep(value))
    }

    fn alloc(&mut self, kind: Kind, note: usize, (fields, bytes): (usize, usize)) -> Outcome {
        if let Some(before) = self.world.before {
            self.raw.park(|| before(self.world.heap));
        }
        let object = self.raw.alloc(fields, bytes).map_err(What::Heap)?;
        self.raw.set_word(object, 0, (note << 3 | kind as usize) << 2 | 1);
        Ok(self.keep(object))
    }

    fn make<const N: usize>(&mut self, kind: Kind, fields: [Value; N]) -> Outcome {
        let object = self.alloc(kind, self.line, (1 + N, 0))?;
        (0..N).for_each(|index| self.raw.store(object, 1 + index, fields[index]));
        Ok(object)
    }

    fn kind(&self, value: Value) -> Kind {
        match value & 3 {
            1 => Kind::Integer,
            3 => Kind::Constant,
            _ => [Kind::Pair, Kind::Symbol, Kind::Closure, Kind::Binding, Kind::Channel]
                [self.raw.word(value, 0) >> 2 & 7],
        }
    }

    fn expect(&self, wanted: Kind, value: Value) -> Outcome {
        let fits = self.kind(value) == wanted;
        if fits { Ok(value) } else { Err(What::Type { wanted, given: self.shown(value, 0) }) }
    }

    fn number(&self, value: Value) -> Outcome<i64> {
        Ok(self.expect(Kind::Integer, value)? as i64 >> 2)
    }

    fn arithmetic(&self, [a, b]: [Value; 2], of: fn(i64, i64) -> Option<i64>) -> Outcome {
        integer(of(self.number(a)?, self.number(b)?))
    }

    /// What is left of a list after so many parts.
    fn rest(&self, list: Value, count: usize) -> Outcome {
        (0..count).try_fold(list, |rest, _| Ok(self.raw.load(self.expect(Kind::Pair, rest)?, CDR)))
    }

    fn part(&self, list: Value, index: usize) -> Outcome {
        Ok(self.raw.load(self.expect(Kind::Pair, self.rest(list, index)?)?, CAR))
    }

    fn name(&self, symbol: Value) -> String {
        let mut bytes = vec![0; self.raw.word(symbol, 0) >> 5];
        self.raw.read(symbol, NAME * 8, &mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn shown(&self, value: Value, depth: usize) -> String {
        match self.kind(value) {
            Kind::Integer => (value as i64 >> 2).to_string(),
            Kind::Symbol => self.name(value),
            Kind::Pair if depth < 100 => {
                let [first, rest] = [CAR, CDR].map(|part| self.shown(self.raw.load(value, part), depth + 1));
                format!("({first} . {rest})")
            }
            _ if value == NIL => "()".to_owned(),
            kind => format!("#<{kind:?}>"),
        }
    }

    /// The symbol of a name. Only the first thread reads, so nobody else makes one meanwhile.
    fn symbol(&mut self, name: &str) -> Outcome {
        let mut symbol = self.raw.global(SYMBOLS);
        while symbol != 0 && self.name(symbol) != name {
            symbol = self.raw.load(symbol, NEXT);
        }
        if symbol == 0 {
            symbol = self.alloc(Kind::Symbol, name.len(), (NAME, name.len()))?;
            self.raw.write(symbol, NAME * 8, name.as_bytes());
            self.raw.store(symbol, NEXT, self.raw.global(SYMBOLS));
            self.raw.set_global(SYMBOLS, symbol);
        }
        Ok(symbol)
    }

    fn read(&mut self, tokens: &mut Vec<(usize, String)>) -> Outcome {
        let (line, token) = tokens.pop().ok_or(What::Syntax("a list is not closed"))?;
        self.line = line;
        match (token.as_str(), token.parse()) {
            ("(", _) => self.nested(|lisp| lisp.read_list(tokens)),
            (")", _) => Err(What::Syntax("there is no list to close")),
            (_, Ok(number)) => integer(Some(number)),
            (name, _) => self.symbol(name),
        }
    }

    fn read_list(&mut self, tokens: &mut Vec<(usize, String)>) -> Outcome {
        if tokens.pop_if(|token| token.1 == ")").is_some() {
            return Ok(NIL);
        }
        let first = self.read(tokens)?;
        let rest = self.nested(|lisp| lisp.read_list(tokens))?;
        self.make(Kind::Pair, [first, rest])
    }

    /// Binds a name in a scope: a binding without a name, which those of the scope follow, and then those around it.
    fn bind(&mut self, name: Value, value: Value, scope: Value) -> Outcome {
        let (binding, mut next) = (self.make(Kind::Binding, [NIL, value, name])?, NIL);
        while let Err(found) = self.raw.compare_exchange(scope, NEXT, next, binding) {
            self.raw.store(binding, NEXT, found);
            next = found;
        }
        Ok(binding)
    }

    /// Where a name's value is: in its innermost binding, or in the symbol.
    fn find(&self, name: Value, scope: Value) -> Outcome {
        let mut cell = scope;
        while cell != NIL && self.raw.load(cell, NAME) != name {
            cell = self.raw.load(cell, NEXT);
        }
        let cell = if cell == NIL { self.expect(Kind::Symbol, name)? } else { cell };
        if self.raw.load(cell, VALUE) == 0 { Err(What::Unbound(self.name(name))) } else { Ok(cell) }
    }

    fn eval(&mut self, form: Value, scope: Value) -> Outcome {
        match self.kind(form) {
            Kind::Pair => self.nested(|lisp| lisp.reduce(form, scope)),
            Kind::Symbol => Ok(self.keep(self.raw.load(self.find(form, scope)?, VALUE))),
            _ => Ok(self.keep(form)),
        }
    }

    /// Evaluates a form, and what it comes down to, in the same place: tail calls cost no depth.
    fn reduce(&mut self, mut form: Value, mut scope: Value) -> Outcome {
        let base = self.raw.push(0);
        while self.kind(form) == Kind::Pair {
            self.raw.pop_to(base);
            [form, scope].iter().for_each(|value| _ = self.keep(*value));
            self.line = self.raw.word(form, 0) >> 5;
            let head = self.eval(self.raw.load(form, CAR), scope)?;
            let number = if self.kind(head) == Kind::Constant { head >> 2 } else { 0 };
            match FORMS.get(number.wrapping_sub(FORM)) {
                Some(&"quote") => return self.part(form, 1),
                Some(&"if") => {
                    let test = self.eval(self.part(form, 1)?, scope)?;
                    form = self.part(form, if test == FALSE { 3 } else { 2 })?;
                }
                Some(&"begin") => form = self.body(self.rest(form, 1)?, scope)?,
                Some(&"lambda") => {
                    return self.make(Kind::Closure, [self.part(form, 1)?, self.rest(form, 2)?, scope]);
                }
                Some(&special @ ("define" | "set!")) => {
                    let cell = match (self.expect(Kind::Symbol, self.part(form, 1)?)?, special) {
                        (name, "set!") => self.find(name, scope)?,
                        (name, _) if scope == NIL => name,
                        (name, _) => self.bind(name, 0, scope)?,
                    };
                    let value = self.eval(self.part(form, 2)?, scope)?;
                    self.raw.store(cell, VALUE, value);
                    return Ok(value);
                }
                Some(_) => {
                    let (inner, mut rest) = (self.make(Kind::Binding, [scope, 0, 0])?, self.part(form, 1)?);
                    while rest != NIL {
                        let pair = self.part(rest, 0)?;
                        let value = self.eval(self.part(pair, 1)?, scope)?;
                        self.bind(self.part(pair, 0)?, value, inner)?;
                        rest = self.rest(rest, 1)?;
                    }
                    (form, scope) = (self.body(self.rest(form, 2)?, inner)?, inner);
                }
                None => {
                    // Each argument is kept once, so they lie side by side.
                    let (first, mut rest) = (self.raw.push(0) + 1, self.raw.load(form, CDR));
                    while rest != NIL {
                        self.eval(self.part(rest, 0)?, scope)?;
                        rest = self.rest(rest, 1)?;
                    }
                    let end = self.raw.push(NIL);
                    if let Some((_, wanted, run)) = PROCEDURES.get(number.wrapping_sub(PROCEDURE)) {
                        (end - first == *wanted).then_some(()).ok_or(What::Arguments)?;
                        let arguments = [0, 1].map(|index| self.raw.get(end.min(first + index)));
                        return run(self, arguments);
                    }
                    let mut names = self.raw.load(self.expect(Kind::Closure, head)?, PARAMETERS);
                    let inner = self.make(Kind::Binding, [self.raw.load(head, SCOPE), 0, 0])?;
                    for argument in first..end {
                        self.bind(self.part(names, 0).or(Err(What::Arguments))?, self.raw.get(argument), inner)?;
                        names = self.rest(names, 1)?;
                    }
                    (names == NIL).then_some(()).ok_or(What::Arguments)?;
                    (form, scope) = (self.body(self.raw.load(head, BODY), inner)?, inner);
                }
            }
        }
        self.eval(form, scope)
    }

    /// Evaluates all forms of a list but the last, which it gives.
    fn body(&mut self, mut list: Value, scope: Value) -> Outcome {
        while self.rest(list, 1)? != NIL {
            self.nested(|lisp| lisp.eval(lisp.part(list, 0)?, scope))?;
            list = self.rest(list, 1)?;
        }
        self.part(list, 0)
    }

    /// Tries something with a channel until it gives a value, or another thread has failed.
    fn insist(&mut self, channel: Value, attempt: impl Fn(&Raw<'_>) -> Option<Value>) -> Outcome {
        self.expect(Kind::Channel, channel)?;
        while self.world.failure.get().is_none() {
            if let Some(value) = attempt(self.raw) {
                return Ok(self.keep(value));
            }
            self.raw.park(thread::yield_now);
        }
        Err(What::Stopped)
    }

    fn send(&mut self, channel: Value, value: Value) -> Outcome {
        self.insist(channel, |raw| raw.compare_exchange(channel, CONTENT, 0, value).is_ok().then_some(value))
    }

    fn receive(&mut self, channel: Value) -> Outcome {
        self.insist(channel, |raw| Some(raw.swap(channel, CONTENT, 0)).filter(|value| *value != 0))
    }
}
