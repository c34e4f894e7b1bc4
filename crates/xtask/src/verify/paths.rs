//! Nothing committed may name a place on the machine it was written on.

use super::Tree;
use crate::shell::Result;
use std::fs;
use std::path::Path;

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
        wrong.extend(find(path, &String::from_utf8_lossy(&bytes), &places));
    }
    Ok(wrong)
}

fn find(path: &Path, text: &str, places: &[String]) -> Vec<String> {
    let named = text.lines().enumerate().filter_map(|(at, line)| {
        let place = places.iter().find(|place| line.contains(place.as_str()))?;
        let here = format!("{}:{}", path.display(), at + 1);
        Some(format!("{here}: {place:?} exists on this machine only; use a path relative to the repository"))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_on_this_machine_is_named() {
        let found = find(Path::new("a.sh"), "cd .\ncd /home/me/sluice\n", &["/home/me/".to_owned()]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a.sh:2: "), "{found:?}");
    }
}
