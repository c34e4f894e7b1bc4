//! Plots as SVG: bars with the range that they were seen in, and lines on plain or logarithmic axes.

use super::page::escape;
use super::table::Spread;
use std::fmt::Write;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 12.0;
/// Told apart by people who see few colours, too.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f"];

pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

pub struct Scale<'a> {
    pub x: &'a str,
    pub y: &'a str,
    pub log_x: bool,
    pub log_y: bool,
}

/// One bar for each, of its median, with a mark from the least to the most.
pub fn bars(bars: &[(&str, Spread)]) -> String {
    const BAR: f64 = 22.0;
    const LABEL: f64 = 260.0;
    const NUMBER: f64 = 90.0;
    let most = bars.iter().map(|(_, spread)| spread.max).filter(|max| max.is_finite()).fold(0.0, f64::max);
    let height = BAR * bars.len() as f64 + 4.0;
    let scale = (WIDTH - NUMBER) / most.max(f64::MIN_POSITIVE);
    let mut out = start(LABEL + WIDTH, height);
    for (at, (name, spread)) in bars.iter().enumerate().filter(|(_, (_, spread))| spread.median.is_finite()) {
        let y = BAR * at as f64 + 2.0;
        let middle = y + BAR / 2.0;
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><rect x=\"{LABEL}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
            LABEL - 6.0,
            middle + 4.0,
            escape(name),
            y + 3.0,
            scale * spread.median,
            BAR - 6.0,
            COLOURS[at % COLOURS.len()],
        );
        let _ = write!(
            out,
            "<path d=\"M{:.1} {middle:.1}H{:.1}\" stroke=\"#222\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LABEL + scale * spread.min,
            LABEL + scale * spread.max,
            LABEL + scale * spread.max + 6.0,
            middle + 4.0,
            short(spread.median),
        );
    }
    out.push_str("</svg>");
    out
}

/// Lines through points, with a grid at round numbers.
pub fn lines(lines: &[Line], scale: &Scale<'_>) -> String {
    let all = || lines.iter().flat_map(|line| line.points.iter().copied());
    let x = Axis::over(all().map(|(x, _)| x), scale.log_x, LEFT, WIDTH - RIGHT);
    let y = Axis::over(all().map(|(_, y)| y), scale.log_y, HEIGHT - BOTTOM, TOP);
    let mut out = start(WIDTH, HEIGHT);
    for tick in x.ticks() {
        let at = x.place(tick);
        let _ = write!(
            out,
            "<path d=\"M{at:.1} {TOP}V{:.1}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 14.0,
            short(tick)
        );
    }
    for tick in y.ticks() {
        let at = y.place(tick);
        let _ = write!(
            out,
            "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 4.0,
            at + 4.0,
            short(tick)
        );
    }
    for (at, line) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let places: Vec<(f64, f64)> = line.points.iter().map(|p| (x.place(p.0), y.place(p.1))).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in places {
            let _ = write!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            LEFT + 8.0,
            TOP + 14.0 * (at + 1) as f64,
            escape(&line.name)
        );
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text></svg>",
        f64::midpoint(LEFT, WIDTH),
        HEIGHT - 8.0,
        escape(scale.x),
        HEIGHT / 2.0,
        escape(scale.y)
    );
    out
}

fn start(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">"
    )
}

/// From values to places on the paper.
struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, is_log: bool, from: f64, to: f64) -> Self {
        let values: Vec<f64> = values.filter(|v| v.is_finite() && (!is_log || *v > 0.0)).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if values.is_empty() {
            return Self { low: 1.0, high: 10.0, is_log, from, to };
        }
        // Room at both ends; whole powers of ten where they are the ticks.
        let (low, high) = if is_log {
            (10f64.powf(low.log10().floor()), 10f64.powf((high * 1.001).log10().ceil()))
        } else {
            (0f64.min(low), high.max(f64::MIN_POSITIVE) * 1.05)
        };
        Self { low, high, is_log, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let part = if self.is_log {
            (value.max(self.low).log10() - self.low.log10()) / (self.high.log10() - self.low.log10())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + part * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            let (low, high) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
            return (low..=high).map(|power| 10f64.powi(power)).collect();
        }
        (0..=5).map(|n| self.low + (self.high - self.low) * f64::from(n) / 5.0).collect()
    }
}

/// A number in few characters.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{:.3}M", value / 1e6).replace(".000M", "M"),
        v if v >= 10_000.0 => format!("{:.1}k", value / 1e3).replace(".0k", "k"),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_its_points_inside() {
        let line = Line { name: "a<b".into(), points: vec![(1.0, 2.0), (1000.0, 3.0)] };
        let scale = Scale { x: "x", y: "y", log_x: true, log_y: true };
        let svg = lines(&[line], &scale);
        assert!(svg.contains("a&lt;b") && svg.ends_with("</svg>") && !svg.contains("NaN"));
        let axis = Axis::over([1.0, 1000.0].into_iter(), true, 0.0, 100.0);
        assert!((axis.place(1.0), axis.place(1000.0)).1 < 100.0 && axis.place(1.0) == 0.0);
    }

    #[test]
    fn nothing_is_a_plot_too() {
        let scale = Scale { x: "x", y: "y", log_x: true, log_y: false };
        assert!(!lines(&[], &scale).contains("NaN"));
        assert!(bars(&[("none", Spread::of(vec![]))]).ends_with("</svg>"));
    }
}
