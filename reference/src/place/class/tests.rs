//! The table against the published one, and what follows from it.

use super::*;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

/// Every row as published in Go's `sizeclasses.go`, and what follows from it: class, bytes, span, pages, objects,
/// tail, largest waste, alignment, slots with pointers, slots without, slack, tail in per cent.
const PUBLISHED: &str = "
    1 8 8192 1 1024 0 87.50% 8 1008 1024 87.50% 0.00%
    2 16 8192 1 512 0 43.75% 16 496 504 43.75% 0.00%
    3 24 8192 1 341 8 29.24% 8 330 336 29.17% 0.10%
    4 32 8192 1 256 0 21.88% 32 248 252 21.88% 0.00%
    5 48 8192 1 170 32 31.52% 16 165 168 31.25% 0.39%
    6 64 8192 1 128 0 23.44% 64 124 126 23.44% 0.00%
    7 80 8192 1 102 32 19.07% 16 99 100 18.75% 0.39%
    8 96 8192 1 85 32 15.95% 32 82 84 15.62% 0.39%
    9 112 8192 1 73 16 13.56% 16 70 72 13.39% 0.20%
    10 128 8192 1 64 0 11.72% 128 62 63 11.72% 0.00%
    11 144 8192 1 56 128 11.82% 16 55 56 10.42% 1.56%
    12 160 8192 1 51 32 9.73% 32 49 50 9.38% 0.39%
    13 176 8192 1 46 96 9.59% 16 45 45 8.52% 1.17%
    14 192 8192 1 42 128 9.25% 64 41 42 7.81% 1.56%
    15 208 8192 1 39 80 8.12% 16 38 38 7.21% 0.98%
    16 224 8192 1 36 128 8.15% 32 35 36 6.70% 1.56%
    17 240 8192 1 34 32 6.62% 16 33 33 6.25% 0.39%
    18 256 8192 1 32 0 5.86% 256 31 31 5.86% 0.00%
    19 288 8192 1 28 128 12.16% 32 27 28 10.76% 1.56%
    20 320 8192 1 25 192 11.80% 64 24 25 9.69% 2.34%
    21 352 8192 1 23 96 9.88% 32 22 22 8.81% 1.17%
    22 384 8192 1 21 128 9.51% 128 20 21 8.07% 1.56%
    23 416 8192 1 19 288 10.71% 32 19 19 7.45% 3.52%
    24 448 8192 1 18 128 8.37% 64 17 18 6.92% 1.56%
    25 480 8192 1 17 32 6.82% 32 16 16 6.46% 0.39%
    26 512 8192 1 16 0 6.05% 512 15 15 6.05% 0.00%
    27 576 8192 1 14 128 12.33% 64 14 14 10.94% 1.56%
    28 640 8192 1 12 512 15.48% 128 12 12 9.84% 6.25%
    29 704 8192 1 11 448 13.93% 64 11 11 8.95% 5.47%
    30 768 8192 1 10 512 13.94% 256 10 10 8.20% 6.25%
    31 896 8192 1 9 128 15.52% 128 9 9 14.17% 1.56%
    32 1024 8192 1 8 0 12.40% 1024 8 8 12.40% 0.00%
    33 1152 8192 1 7 128 12.41% 128 7 7 11.02% 1.56%
    34 1280 8192 1 6 512 15.55% 256 6 6 9.92% 6.25%
    35 1408 16384 2 11 896 14.00% 128 11 11 9.02% 5.47%
    36 1536 8192 1 5 512 14.00% 512 5 5 8.27% 6.25%
    37 1792 16384 2 9 256 15.57% 256 9 9 14.23% 1.56%
    38 2048 8192 1 4 0 12.45% 2048 4 4 12.45% 0.00%
    39 2304 16384 2 7 256 12.46% 256 7 7 11.07% 1.56%
    40 2688 8192 1 3 128 15.59% 128 3 3 14.25% 1.56%
    41 3072 24576 3 8 0 12.47% 1024 8 8 12.47% 0.00%
    42 3200 16384 2 5 384 6.22% 128 5 5 3.97% 2.34%
    43 3456 24576 3 7 384 8.83% 128 7 7 7.38% 1.56%
    44 4096 8192 1 2 0 15.60% 4096 2 2 15.60% 0.00%
    45 4864 24576 3 5 256 16.65% 256 5 5 15.77% 1.04%
    46 5376 16384 2 3 256 10.92% 256 3 3 9.51% 1.56%
    47 6144 24576 3 4 0 12.48% 2048 4 4 12.48% 0.00%
    48 6528 32768 4 5 128 6.23% 128 5 5 5.87% 0.39%
    49 6784 40960 5 6 256 4.36% 128 6 6 3.76% 0.62%
    50 6912 49152 6 7 768 3.37% 256 7 7 1.84% 1.56%
    51 8192 8192 1 1 0 15.61% 8192 1 1 15.61% 0.00%
    52 9472 57344 7 6 512 14.28% 256 6 6 13.50% 0.89%
    53 9728 49152 6 5 512 3.64% 512 5 5 2.62% 1.04%
    54 10240 40960 5 4 0 4.99% 2048 4 4 4.99% 0.00%
    55 10880 32768 4 3 128 6.24% 128 3 3 5.87% 0.39%
    56 12288 24576 3 2 0 11.45% 4096 2 2 11.45% 0.00%
    57 13568 40960 5 3 256 9.99% 256 3 3 9.43% 0.62%
    58 14336 57344 7 4 0 5.35% 2048 4 4 5.35% 0.00%
    59 16384 16384 2 1 0 12.49% 8192 1 1 12.49% 0.00%
    60 18432 73728 9 4 0 11.11% 2048 4 4 11.11% 0.00%
    61 19072 57344 7 3 128 3.57% 128 3 3 3.35% 0.22%
    62 20480 40960 5 2 0 6.87% 4096 2 2 6.87% 0.00%
    63 21760 65536 8 3 256 6.25% 256 3 3 5.88% 0.39%
    64 24576 24576 3 1 0 11.45% 8192 1 1 11.45% 0.00%
    65 27264 81920 10 3 128 10.00% 128 3 3 9.86% 0.16%
    66 28672 57344 7 2 0 4.91% 4096 2 2 4.91% 0.00%
    67 32768 32768 4 1 0 12.50% 8192 1 1 12.50% 0.00%
";

fn percent(part: u64, whole: u64) -> String {
    format!("{:.2}%", 100.0 * part as f64 / whole as f64)
}

/// Law 25.
#[test]
fn the_derived_table_is_the_published_one() {
    let published: Vec<_> = PUBLISHED.trim().lines().map(str::trim).collect();
    let derived = (1..CLASSES).map(|class| {
        let row @ Row { size, pages, objects, .. } = row(class);
        let (span, tail, align) = (row.span(), row.tail(), row.align());
        let [with, without] = [false, true].map(|free| SpanClass::new(class, free).slots());
        let [most, slack, rest] = [(waste(class), span), (slack(class), size), (tail, span)];
        let [most, slack, rest] = [most, slack, rest].map(|(part, whole)| percent(part, whole));
        format!("{class} {size} {span} {pages} {objects} {tail} {most} {align} {with} {without} {slack} {rest}")
    });
    assert_eq!(derived.collect::<Vec<_>>(), published);
}

#[test]
fn of_162_candidates_95_are_merged_and_18_classes_grow() {
    let (mut candidates, mut size, mut step) = (0, WORD, WORD);
    while size <= LARGEST {
        (candidates, step) = (candidates + 1, spacing(size, step));
        size += step;
    }
    assert_eq!((candidates, candidates - (CLASSES - 1)), (162, 95));
    let grown = TABLE.iter().filter(|row| row.size > row.merged).map(|row| format!("{}>{}", row.merged, row.size));
    let published = "1664>1792 2560>2688 2816>3072 3072>3200 3328>3456 4608>4864 6400>6528 6656>6784 8448>9472 \
        8704>9728 9472>10240 10496>10880 14080>14336 16640>18432 17664>19072 21248>21760 24832>27264 28416>28672";
    assert_eq!(grown.collect::<Vec<_>>().join(" "), published);
}

/// Laws 3, 26 and 30.
#[test]
fn every_size_gets_the_first_class_that_holds_it() {
    let mut first = 0;
    for size in 0..=LARGEST {
        first += usize::from(size > TABLE[first].size);
        assert_eq!(class_of(size), first, "{size} bytes");
        assert_eq!(class_of(TABLE[first].size), first, "rounding up again changes nothing");
    }
    assert_eq!((first, FINE_LOOKUP.len(), COARSE_LOOKUP.len()), (CLASSES - 1, 129, 249));
    assert_eq!(class_of(1024), usize::from(FINE_LOOKUP[128]), "both tables know 1024");
    let golden = [(1, 8), (17, 24), (113, 128), (897, 1024), (1017, 1024), (1023, 1024), (1793, 2048)];
    let golden = golden.into_iter().chain([(2305, 2688), (3073, 3200), (19073, 20480), (27265, 28672)]);
    golden.for_each(|(size, slot)| assert_eq!(row(class_of(size)).size, slot, "{size} bytes"));
}

/// Law 27.
#[test]
fn the_multiplication_divides_every_offset_exactly() {
    for class in 1..CLASSES {
        let row = row(class);
        for offset in 0..=row.span() {
            assert_eq!(row.slot(offset), offset / row.size, "offset {offset} of class {class}");
        }
    }
    let off_by_one = Row { magic: row(5).magic - 1, ..row(5) };
    assert_eq!(off_by_one.slot(48), 0, "a smaller factor would be wrong");
}

/// Laws 28 and 29: the figures, and that the eighth of common belief would be broken by Go's own table.
#[test]
fn waste_is_bounded_but_not_by_an_eighth() {
    let per_mille = |part: u64, whole: u64| part * 1000 / whole;
    let over: Vec<_> = (1..CLASSES).filter(|c| slack(*c) * 8 > row(*c).size).map(|c| row(c).size).collect();
    assert_eq!(over, [8, 16, 24, 32, 48, 64, 80, 96, 112, 896, 1792, 2688, 4096, 4864, 8192, 9472]);
    let of = |from: u64| (1..CLASSES).filter(move |class| row(*class).size >= from);
    assert_eq!(of(1025).map(|class| per_mille(slack(class), row(class).size)).max(), Some(157));
    assert_eq!(of(128).map(|class| per_mille(waste(class), row(class).span())).max(), Some(166));
    assert!(of(0).all(|class| row(class).tail() * 8 <= row(class).span()), "law 29");
    let longest: Vec<_> = of(0).filter(|class| row(*class).tail() * 16 >= row(*class).span()).collect();
    assert_eq!(longest.iter().map(|class| row(*class).size).collect::<Vec<_>>(), [640, 768, 1280, 1536]);
}

/// Law 4.
#[test]
fn an_alignment_is_sure_from_a_certain_size_on() {
    let sure_from = |align: u64| (1..CLASSES).rev().take_while(|class| row(*class).align() >= align).last();
    let published = [(8, 8), (16, 32), (32, 256), (64, 512), (128, 768), (4096, 28672), (8192, 32768)];
    for (align, size) in published {
        assert_eq!(sure_from(align).map(|class| row(class).size), Some(size), "{align}");
    }
}

/// Law 31.
#[test]
fn the_boundaries_are_where_they_are_said_to_be() {
    let show = |size, pointers| match request(size, pointers) {
        Request::Nothing => "nothing".to_string(),
        Request::Tiny => "tiny".to_string(),
        Request::Small { span_class, header } => {
            assert_eq!(span_class.pointer_free(), !pointers);
            format!("{}-{header}", row(span_class.class()).size)
        }
        Request::Large => "large".to_string(),
    };
    let sizes = [0, 1, 8, 15, 16, 512, 513, 1016, 1017, 32_760, 32_761, u64::MAX];
    let with =
        ["nothing", "8-0", "8-0", "16-0", "16-0", "512-0", "576-8", "1024-8", "1152-8", "32768-8", "large", "large"];
    let without =
        ["nothing", "tiny", "tiny", "tiny", "16-0", "512-0", "576-0", "1024-0", "1024-0", "32768-0", "large", "large"];
    assert_eq!(sizes.map(|size| show(size, true)), with);
    assert_eq!(sizes.map(|size| show(size, false)), without);
    let grown = [(5, false), (513, true), (513, false), (32_761, true), (u64::MAX, false)];
    let usable = grown.map(|(size, pointers)| usable(size, pointers));
    assert_eq!(usable, [Some(8), Some(568), Some(576), Some(32_768), None]);
}

#[test]
fn there_are_136_span_classes() {
    let all: Vec<_> = SpanClass::all().collect();
    assert_eq!(all.len(), 136);
    for (index, span_class) in all.into_iter().enumerate() {
        assert_eq!(SpanClass::new(span_class.class(), span_class.pointer_free()), span_class);
        assert_eq!(span_class.index(), index);
    }
}

#[test]
#[should_panic(expected = "no size in common")]
fn large_objects_have_no_row() {
    row(LARGE);
}
