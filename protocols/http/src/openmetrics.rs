//! Metrics as OpenMetrics 1.0, made from the text format of Prometheus that the exporter writes.
//!
//! Newer collectors ask for this format first. The one idea to know: the two say the same things; what differs is how
//! counters are called, how bounds are written, and that the end is told. So the text is rewritten line by line, and
//! nothing is collected twice.

use std::borrow::Cow;

/// The media type that collectors ask for.
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text";
/// The media type as it is answered.
pub(crate) const OPENMETRICS_1: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the name of a counter's sample ends in, and the name of the counter itself does not.
const TOTAL: &str = "_total";

/// What a family of samples is, as far as its lines are rewritten.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Counter,
    /// Its bounds are numbers in labels.
    Bounded,
    Other,
}

/// Rewrites a whole exposition.
pub(crate) fn from_prometheus(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    let mut family = Family::Other;
    // Help comes before the type, which says how the name is written.
    let mut help = None;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest.split_once(' ').unwrap_or((rest, "")));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            family = match kind {
                "counter" => Family::Counter,
                "histogram" | "summary" => Family::Bounded,
                _ => Family::Other,
            };
            let own = if family == Family::Counter { name.strip_suffix(TOTAL).unwrap_or(name) } else { name };
            let kind = if kind == "untyped" { "unknown" } else { kind };
            out.extend(["# TYPE ", own, " ", kind, "\n"]);
            if let Some((_, text)) = help.take().filter(|(of, _)| *of == name) {
                out.extend(["# HELP ", own, " ", &text.replace('"', "\\\""), "\n"]);
            }
        } else if !line.starts_with('#') {
            sample(&mut out, family, line);
        }
    }
    out.push_str("# EOF\n");
    out
}

fn sample(out: &mut String, family: Family, line: &str) {
    let end = line.find(['{', ' ']).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    out.push_str(name);
    if family == Family::Counter && !name.ends_with(TOTAL) {
        out.push_str(TOTAL);
    }
    out.push_str(&if family == Family::Bounded { with_fraction(rest) } else { Cow::Borrowed(rest) });
    out.push('\n');
}

/// Bounds have a point: `le="1"` is `le="1.0"` here.
fn with_fraction(rest: &str) -> Cow<'_, str> {
    for label in ["le=\"", "quantile=\""] {
        let Some(start) = rest.find(label).map(|at| at + label.len()) else { continue };
        let Some((before, bound)) = rest.split_at_checked(start) else { continue };
        let Some((number, after)) = bound.split_once('"') else { continue };
        if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
            return format!("{before}{number}.0\"{after}").into();
        }
    }
    rest.into()
}

#[cfg(test)]
mod tests {
    use super::from_prometheus;

    #[test]
    fn counters_lose_their_suffix_where_they_are_declared_and_bounds_have_a_point() {
        let prometheus = "# HELP sends_total What was \"sent\".\n# TYPE sends_total counter\n\
            sends_total{wire=\"http\"} 3\n\n# TYPE bytes counter\nbytes 7\n\n# TYPE open gauge\nopen -1\n\n\
            # TYPE took histogram\ntook_bucket{a=\"x\",le=\"1\"} 1\ntook_bucket{a=\"x\",le=\"2.5\"} 2\n\
            took_bucket{a=\"x\",le=\"+Inf\"} 2\ntook_sum{a=\"x\"} 3.5\ntook_count{a=\"x\"} 2\n\n";
        let open = "# TYPE sends counter\n# HELP sends What was \\\"sent\\\".\nsends_total{wire=\"http\"} 3\n\
            # TYPE bytes counter\nbytes_total 7\n# TYPE open gauge\nopen -1\n# TYPE took histogram\n\
            took_bucket{a=\"x\",le=\"1.0\"} 1\ntook_bucket{a=\"x\",le=\"2.5\"} 2\n\
            took_bucket{a=\"x\",le=\"+Inf\"} 2\ntook_sum{a=\"x\"} 3.5\ntook_count{a=\"x\"} 2\n# EOF\n";
        assert_eq!(from_prometheus(prometheus), open);
        assert_eq!(from_prometheus(""), "# EOF\n");
    }
}
