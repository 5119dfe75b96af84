//! A plot as SVG: panels side by side, each with curves over the same steps. Written out here since it is a few lines.

use std::fmt::Write as _;

/// The width and height of a panel, and the room around what is drawn in it.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 60.0;
/// Colours that are told apart by those who see few (Okabe and Ito 2008).
const COLORS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// Curves over the same steps.
pub(crate) struct Panel {
    title: &'static str,
    across: &'static str,
    up: &'static str,
    /// Whether heights are drawn by their logarithms; otherwise they go from 0 to 1.
    pub(crate) logarithmic: bool,
    curves: Vec<(String, Vec<(String, f64)>)>,
}

impl Panel {
    pub(crate) fn new(title: &'static str, across: &'static str, up: &'static str) -> Panel {
        Panel { title, across, up, logarithmic: false, curves: Vec::new() }
    }

    /// Adds a curve: the steps by name, and how high it is at each.
    pub(crate) fn curve(&mut self, name: &str, points: Vec<(String, f64)>) {
        self.curves.push((name.to_owned(), points));
    }

    fn heights(&self) -> impl Iterator<Item = f64> {
        self.curves.iter().flat_map(|(_, points)| points).map(|(_, height)| *height)
    }

    fn draw(&self, svg: &mut String) {
        let text = |svg: &mut String, x: f64, y: f64, anchor: &str, words: &str| {
            let words = words.replace('&', "&amp;").replace('<', "&lt;");
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
        };
        let line = |svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), color: &str| {
            let (from, to) = (format!("x1=\"{x1:.1}\" y1=\"{y1:.1}\""), format!("x2=\"{x2:.1}\" y2=\"{y2:.1}\""));
            let _ = writeln!(svg, "<line {from} {to} stroke=\"{color}\"/>");
        };
        // Powers of ten that all heights lie between, or quarters of 1.
        let (lowest, highest) = match self.logarithmic {
            true => {
                let log = |height: f64| height.max(1.0).log10();
                let (least, most) =
                    (self.heights().map(log).fold(9.0, f64::min), self.heights().map(log).fold(0.0, f64::max));
                (least.floor().min(most.ceil() - 1.0), most.ceil())
            }
            false => (0.0, 1.0),
        };
        let height = |value: f64| if self.logarithmic { value.max(1.0).log10() } else { value };
        let y = |height: f64| HEIGHT - BOTTOM - (height - lowest) / (highest - lowest) * (HEIGHT - TOP - BOTTOM);
        let steps = self.curves.first().map_or(0, |(_, points)| points.len());
        let x = |step: usize| LEFT + step as f64 / (steps.max(2) - 1) as f64 * (WIDTH - LEFT - RIGHT);
        text(svg, WIDTH / 2.0, 22.0, "middle", self.title);
        text(svg, WIDTH / 2.0, HEIGHT - 12.0, "middle", self.across);
        text(svg, 8.0, TOP - 10.0, "start", self.up);
        let marks = if self.logarithmic { (highest - lowest) as usize } else { 4 };
        for mark in 0..=marks {
            let at = lowest + (highest - lowest) * mark as f64 / marks as f64;
            line(svg, (LEFT, y(at)), (WIDTH - RIGHT, y(at)), "#ddd");
            let words = if self.logarithmic { format!("{}", 10_f64.powf(at).round()) } else { format!("{at:.2}") };
            text(svg, LEFT - 6.0, y(at) + 4.0, "end", &words);
        }
        for (curve, (name, points)) in self.curves.iter().enumerate() {
            let color = COLORS[curve % COLORS.len()];
            let places: Vec<_> =
                points.iter().enumerate().map(|(step, (_, value))| (x(step), y(height(*value)))).collect();
            places.windows(2).for_each(|pair| line(svg, pair[0], pair[1], color));
            for ((x, y), (step, value)) in places.iter().zip(points) {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"><title>{name}, {step}: {value}</title></circle>"
                );
            }
            let legend = TOP + 6.0 + 16.0 * curve as f64;
            line(svg, (LEFT + 10.0, legend), (LEFT + 30.0, legend), color);
            text(svg, LEFT + 36.0, legend + 4.0, "start", &format!("collector: {name}"));
        }
        for (step, (name, _)) in self.curves.first().map_or(&[][..], |(_, points)| points).iter().enumerate() {
            text(svg, x(step), HEIGHT - BOTTOM + 18.0, "middle", name);
        }
    }
}

/// The drawing.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let width = WIDTH * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" width=\"{width}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (at, panel) in panels.iter().enumerate() {
        let _ = writeln!(svg, "<g transform=\"translate({} 0)\">", WIDTH * at as f64);
        panel.draw(&mut svg);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}
