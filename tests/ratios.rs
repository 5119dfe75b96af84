//! What `cargo ratios` reckons and draws: percentiles, the worst window, and the plot.

#[expect(dead_code, reason = "the bench measures, this reckons")]
#[path = "../benches/ratios/latency.rs"]
mod latency;
#[path = "../benches/ratios/plot.rs"]
mod plot;

use latency::{percentile, utilisation};
use std::process::{Command, Stdio};

#[test]
fn a_percentile_is_the_least_that_so_many_do_not_exceed() {
    let sorted: Vec<u32> = (1..=1_000).collect();
    assert_eq!([0.0, 0.5, 0.99, 0.999, 1.0].map(|part| percentile(&sorted, part)), [1, 500, 990, 999, 1_000]);
    assert_eq!(percentile(&[], 0.5), 0);
}

#[test]
fn the_worst_window_is_the_one_with_most_taken_from_it() {
    // Twenty of ten, one of 110, five of ten, one of 210, twenty of ten: 100 and 200 were taken away.
    let times: Vec<u32> = [vec![10; 20], vec![110], vec![10; 5], vec![210], vec![10; 20]].concat();
    let part = |window| (utilisation(&times, window) * 1_000.0).round() as u32;
    assert_eq!(part(100), 0, "a window in the longer one");
    assert_eq!(part(200), 0, "the longer one itself");
    assert_eq!(part(250), 200, "the longer one and fifty beside it");
    // Between the two there are the five, and what the second would have taken anyway: 100 + 60 + 200.
    assert_eq!(part(360), 167, "both");
    assert_eq!(part(10_000), 1_000, "it was not there for as long");
    assert_eq!(utilisation(&[10; 100], 100), 1.0, "nothing was taken");
    // Against every window that there is.
    let taken: Vec<bool> = times.iter().flat_map(|time| (0..*time).map(move |at| *time > 100 && at >= 10)).collect();
    for window in [1, 50, 100, 150, 250, 333, 500] {
        let worst = taken.windows(window).map(|window| window.iter().filter(|taken| **taken).count()).max();
        let least = 1.0 - worst.expect("a window") as f64 / window as f64;
        assert!((utilisation(&times, window as u64) - least).abs() < 1e-9, "{window}");
    }
}

#[test]
fn the_plot_is_well_formed_and_has_every_point() {
    let mut times = plot::Panel::new("a < b & c", "across", "up");
    times.logarithmic = true;
    times.curve("one", vec![("50 %".to_owned(), 12.0), ("all".to_owned(), 34_567.0)]);
    times.curve("two", vec![("50 %".to_owned(), 10.0), ("all".to_owned(), 10.0)]);
    let mut parts = plot::Panel::new("parts", "across", "up");
    parts.curve("one", vec![("1 ms".to_owned(), 0.0), ("2 ms".to_owned(), 1.0)]);
    let svg = plot::svg(&[times, parts, plot::Panel::new("nothing", "", "")]);
    assert_eq!(svg.matches("<circle").count(), 6);
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    let parse = "import sys, xml.dom.minidom as x; x.parseString(sys.stdin.read())";
    let mut python = Command::new("python3").args(["-c", parse]).stdin(Stdio::piped()).spawn().expect("python3");
    std::io::Write::write_all(&mut python.stdin.take().expect("a pipe"), svg.as_bytes()).expect("it reads");
    assert!(python.wait().expect("it ends").success(), "{svg}");
}
