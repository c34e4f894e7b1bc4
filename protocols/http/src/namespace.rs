//! Names within a namespace: `{namespace}%{name}`, as RocketMQ spells them.
//!
//! The one idea to know: a namespace is nothing that exists by itself, it is there when it has topics or groups; and it
//! is only a way to write their names, so every wire sees the same ones. What is answered has the whole name, which may
//! be handed back as it is, for a name that is within already stays as it is.

/// What topics made for a group begin with; the namespace is the group's then.
const OF_GROUPS: [&str; 2] = ["%RETRY%", "%DLQ%"];
/// Leaves room for a name.
const MAX: usize = 64;

/// Why a text is no namespace.
pub(crate) const WRONG: &str = "a namespace has 1 to 64 letters, digits, _ and -";

pub(crate) fn is_valid(namespace: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (1..=MAX).contains(&namespace.len()) && namespace.bytes().all(fits)
}

/// A name within a namespace; an empty one is none.
pub(crate) fn within(namespace: &str, name: &str) -> String {
    let (prefix, own) = split(name);
    let is_within = own.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('%'));
    match namespace.is_empty() || is_within {
        true => name.to_owned(),
        false => format!("{prefix}{namespace}%{own}"),
    }
}

/// The namespace that a name lies in, and the name there; a group's topics lie where the group does.
pub(crate) fn of(name: &str) -> Option<(&str, &str)> {
    split(name).1.split_once('%').filter(|(namespace, _)| is_valid(namespace))
}

fn split(name: &str) -> (&str, &str) {
    let prefix = OF_GROUPS.into_iter().find(|prefix| name.starts_with(prefix)).unwrap_or_default();
    (prefix, name.strip_prefix(prefix).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_within_once() {
        for (namespace, name, whole) in [
            ("", "orders", "orders"),
            ("shop", "orders", "shop%orders"),
            ("shop", "shop%orders", "shop%orders"),
            ("shop", "shopping", "shop%shopping"),
            ("shop", "other%orders", "shop%other%orders"),
            ("shop", "%DLQ%billing", "%DLQ%shop%billing"),
            ("shop", "%RETRY%shop%billing", "%RETRY%shop%billing"),
        ] {
            assert_eq!(within(namespace, name), whole);
        }
    }

    #[test]
    fn a_name_tells_where_it_lies() {
        assert_eq!(of("shop%orders"), Some(("shop", "orders")));
        assert_eq!(of("%DLQ%shop%billing"), Some(("shop", "billing")));
        assert_eq!(of("a%b%c"), Some(("a", "b%c")));
        for none in ["orders", "%DLQ%billing", "%SYS%x", "a|b%c"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
