//! One page with everything on it: no script, no file beside it.

use super::plot::{self, Line, Scale};
use super::results::Results;
use super::table::{self, Ratio, Row, Table};
use std::fmt::Write;

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:.5em 0 1.5em}th,td{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:right}\
th:first-child,td:first-child{text-align:left}.no{color:#b00020;font-weight:600}.yes{color:#0a6b2d}\
figure{display:inline-block;margin:.5em 1em 1em 0}figcaption{font-weight:600}svg text{font:11px system-ui,sans-serif}";

pub fn page(name: &str, results: &Results) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style>\n<h1>{0}</h1>\n",
        escape(name)
    );
    machine(results, &mut out);
    ratios(&results.ratios, &mut out);
    for table in &results.tables {
        table_of(table, &mut out);
    }
    curves(results, &mut out);
    growth(results, &mut out);
    out
}

fn machine(results: &Results, out: &mut String) {
    let machine = &results.machine;
    let _ = writeln!(
        out,
        "<p>{} cores of {}, {:.1} GiB, {}, {}; {}; commit {}; {}<br>flags: <code>{}</code></p>",
        machine.cores,
        escape(&machine.processor),
        machine.memory_gib,
        escape(&machine.kernel),
        escape(&machine.file_system),
        escape(&machine.compiler),
        escape(&machine.commit),
        escape(&machine.peers.join(", ")),
        escape(&results.flags)
    );
}

fn ratios(ratios: &[Ratio], out: &mut String) {
    if ratios.is_empty() {
        return;
    }
    out.push_str("<h2>Targets</h2>\n<table><tr><th>what<th>reached<th>target<th>\n");
    for ratio in ratios {
        let (class, mark) = if ratio.is_reached() { ("yes", "reached") } else { ("no", "not reached") };
        let sign = if ratio.at_least { "≥" } else { "≤" };
        let _ = writeln!(
            out,
            "<tr><td>{}<td>{:.3}<td>{sign} {:.3}<td class=\"{class}\">{mark}",
            escape(&ratio.what),
            ratio.reached,
            ratio.target
        );
    }
    out.push_str("</table>\n");
}

fn table_of(table: &Table, out: &mut String) {
    let _ = write!(
        out,
        "<h2>{}</h2>\n<table><tr><th><th>msg/s<th>min<th>max<th>p50 ms<th>p99 ms<th>CPU µs<th>switches<th>written/byte<th>MiB<th>foreign\n",
        escape(&table.title)
    );
    for row in &table.rows {
        let rate = row.spread(table::rate);
        let of = |value: fn(&_) -> f64| row.spread(value).median;
        let _ = writeln!(
            out,
            "<tr><td>{}<td>{:.0}<td>{:.0}<td>{:.0}<td>{:.2}<td>{:.2}<td>{:.2}<td>{:.2}<td>{:.2}<td>{:.0}<td>{:.0} %",
            escape(&row.name),
            rate.median,
            rate.min,
            rate.max,
            of(table::p50) / 1000.0,
            of(table::p99) / 1000.0,
            of(table::cpu),
            of(|sample| sample.switches),
            of(|sample| sample.written_per_byte),
            of(table::resident),
            100.0 * row.spread(|sample| sample.foreign).max
        );
    }
    out.push_str("</table>\n");
    bars("messages a second", &table.rows, table::rate, out);
    bars("processor time of the server, µs a message", &table.rows, table::cpu, out);
}

fn bars(caption: &str, rows: &[Row], value: fn(&super::subject::Sample) -> f64, out: &mut String) {
    let bars: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.spread(value))).collect();
    figure(caption, &plot::bars(&bars), out);
}

fn curves(results: &Results, out: &mut String) {
    if results.curves.is_empty() {
        return;
    }
    out.push_str("<h2>Open loop: latency from the intended time</h2>\n<table><tr><th><th>of max<th>messages/s<th>p50 ms<th>p99 ms<th>min<th>max\n");
    for curve in &results.curves {
        for point in &curve.points {
            let _ = writeln!(
                out,
                "<tr><td>{}<td>{:.0} %<td>{:.0}<td>{:.2}<td>{:.2}<td>{:.2}<td>{:.2}",
                escape(&curve.name),
                100.0 * point.part,
                point.per_second,
                point.p50 / 1000.0,
                point.p99 / 1000.0,
                point.p99_min / 1000.0,
                point.p99_max / 1000.0
            );
        }
    }
    out.push_str("</table>\n");
    let p99 = results.curves.iter().map(|curve| Line {
        name: curve.name.clone(),
        points: curve.points.iter().map(|point| (point.per_second, point.p99 / 1000.0)).collect(),
    });
    let scale = Scale { x: "messages a second", y: "p99, ms", log_x: true, log_y: true };
    figure("p99 below the highest rate", &plot::lines(&p99.collect::<Vec<_>>(), &scale), out);
    for curve in &results.curves {
        let lines: Vec<Line> = curve
            .points
            .iter()
            .map(|point| Line {
                name: format!("{:.0} %", 100.0 * point.part),
                // From 1 in 2 to 1 in 100,000: how many nines.
                points: point
                    .quantiles
                    .iter()
                    .filter(|(quantile, _)| (0.5..1.0).contains(quantile))
                    .map(|(quantile, latency)| (1.0 / (1.0 - quantile), latency / 1000.0))
                    .collect(),
            })
            .collect();
        let scale = Scale { x: "one in so many requests", y: "waits ms", log_x: true, log_y: true };
        figure(&curve.name, &plot::lines(&lines, &scale), out);
    }
}

fn growth(results: &Results, out: &mut String) {
    if results.growth.is_empty() {
        return;
    }
    out.push_str("<h2>Growth</h2>\n<table><tr><th>what<th>against<th>exponent<th>promised<th>\n");
    for growth in &results.growth {
        let (class, mark) = match growth.is_kept() {
            Some(true) => ("yes", "kept"),
            Some(false) => ("no", "not kept"),
            None => ("", "printed only"),
        };
        let promised = growth.promised();
        let _ = writeln!(
            out,
            "<tr><td>{}<td>{}<td>{:.3}<td>{}<td class=\"{class}\">{mark}",
            escape(&growth.what),
            escape(&growth.against),
            growth.exponent,
            escape(&promised)
        );
    }
    out.push_str("</table>\n");
    for growth in &results.growth {
        let line = Line { name: String::new(), points: growth.points.clone() };
        let scale = Scale { x: &growth.against, y: &growth.what, log_x: true, log_y: true };
        figure(&format!("{} against {}", growth.what, growth.against), &plot::lines(&[line], &scale), out);
    }
}

fn figure(caption: &str, svg: &str, out: &mut String) {
    let _ = writeln!(out, "<figure><figcaption>{}</figcaption>{svg}</figure>", escape(caption));
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
