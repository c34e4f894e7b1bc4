//! Nothing committed may name a place on the machine it was written on.

use super::Tree;
use crate::shell::Result;
use std::fs;

pub fn check(tree: &Tree) -> Result<Vec<String>> {
    let checkout = tree.root.parent().map(|parent| parent.to_string_lossy().into_owned());
    let home = std::env::var("HOME").ok();
    let places: Vec<String> = [checkout, home]
        .into_iter()
        .flatten()
        .filter(|place| place.len() > 1 && place != "/tmp")
        .map(|place| format!("{place}/"))
        .collect();
    let mut wrong = Vec::new();
    for path in &tree.files {
        let bytes = fs::read(tree.root.join(path))?;
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in text.lines().enumerate() {
            if let Some(place) = places.iter().find(|place| line.contains(place.as_str())) {
                wrong.push(format!(
                    "{}:{}: {place:?} exists on this machine only; use a path relative to the repository",
                    path.display(),
                    number + 1,
                ));
            }
        }
    }
    Ok(wrong)
}
