//! Durations and sizes as people write them, for serde: `#[serde(with = "units::duration")]`.

/// `"10s"`, `"1m 30s"`, `"200ms"`.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Adding this to any instant of the machine's clock does not overflow.
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

    pub(crate) fn serialize<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&humantime::format_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(d)?;
        match humantime::parse_duration(&text) {
            Ok(value) if value <= LONGEST => Ok(value),
            Ok(_) => Err(de::Error::custom(format!("{text:?} is longer than a hundred years"))),
            Err(e) => {
                Err(de::Error::custom(format!("{text:?} is not a duration like \"10s\" or \"5m\": {e}")))
            }
        }
    }
}

/// `"64KiB"`, `"8MiB"`, `"512B"`; `KB` and `MB` are powers of ten.
pub(crate) mod size {
    use serde::{Deserialize, Deserializer, Serializer, de};

    const UNITS: [(&str, usize); 7] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("KB", 1_000),
        ("B", 1),
    ];

    pub(crate) fn serialize<S: Serializer>(value: &usize, s: S) -> Result<S::Ok, S::Error> {
        let (unit, scale) = UNITS
            .iter()
            .filter(|(unit, _)| unit.len() != 2) // only powers of two are printed, so that a value reads the same always
            .find(|(_, scale)| *value >= *scale && value.is_multiple_of(*scale))
            .copied()
            .unwrap_or(("B", 1));
        s.collect_str(&format_args!("{}{unit}", value / scale))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<usize, D::Error> {
        let text = String::deserialize(d)?;
        parse(&text)
            .ok_or_else(|| de::Error::custom(format!("{text:?} is not a size like \"64KiB\" or \"8MiB\"")))
    }

    pub(crate) fn parse(text: &str) -> Option<usize> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let scale =
            UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim())).map(|(_, scale)| *scale)?;
        number.parse::<usize>().ok()?.checked_mul(scale)
    }

    #[cfg(test)]
    mod tests {
        use super::parse;

        #[test]
        fn sizes_are_read_with_their_units() {
            assert_eq!(parse("64KiB"), Some(65_536));
            assert_eq!(parse("1 MB"), Some(1_000_000));
            assert_eq!(parse("7B"), Some(7));
            for bad in ["", "7", "KiB", "-1B", "7XB", "99999999999999999999B", "18446744073709551615KiB"] {
                assert_eq!(parse(bad), None, "{bad}");
            }
        }
    }
}
