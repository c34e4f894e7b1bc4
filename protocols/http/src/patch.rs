//! JSON merge patches (RFC 7396): change what is named, reset what is null, keep the rest.

use crate::errors::{Code, Problem};
use crate::json;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Depth is checked when the patch is read; what it is merged into is ours.
const ANY_DEPTH: usize = usize::MAX;

/// Applies a patch to settings and reads the result back as strictly as a whole.
pub(crate) fn merge_patch<T: DeserializeOwned>(before: &impl Serialize, patch: Value) -> Result<T, Problem> {
    let internal = |e: serde_json::Error| Problem::from(sluice_model::Error::internal(e));
    if !patch.is_object() {
        return Err(Problem::new(Code::InvalidJson, "a merge patch is an object"));
    }
    let mut value = serde_json::to_value(before).map_err(internal)?;
    merge(&mut value, patch);
    json::decode(&serde_json::to_vec(&value).map_err(internal)?, ANY_DEPTH)
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (mut target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            merge(&mut target, patch);
            assert_eq!(target, result);
        }
    }
}
