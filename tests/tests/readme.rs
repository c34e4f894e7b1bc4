//! The README shows the examples as they are.

use sluice_tests::repository;
use std::fs::read_to_string;

#[test]
fn the_snippets_are_the_examples() {
    let root = repository();
    let readme = read_to_string(root.join("README.md")).expect("README.md");
    let read = |path: &str| read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let java = read("examples/java-tls/src/main/java/example/Orders.java");
    let from = java.find("        // The client reads its TLS settings").expect("the part that is shown");
    let to = java.find("        boolean complete").expect("its end");
    let curl = read("examples/curl/hello.sh");
    let between = |path: &str, from: &str, to: &str| {
        let text = read(path);
        let begin = text.find(from).unwrap_or_else(|| panic!("{path} has no {from:?}"));
        let end = text[begin..].find(to).unwrap_or_else(|| panic!("{path} has no {to:?}"));
        text[begin..begin + end].to_owned()
    };
    let shown = [
        ("curl over TLS", read("examples/tls/hello.sh").split_once('\n').expect("a first line").1.to_owned()),
        ("ruby over TLS", between("examples/tls/orders.rb", "tls = ", "\n\n")),
        ("python over TLS", between("examples/tls/orders.py", "client = ", "\n\n")),
        ("curl", curl.split_once('\n').expect("a first line").1.to_owned()),
        ("ruby", read("examples/ruby-stomp/orders.rb")),
        ("python", read("examples/python-stomp/orders.py")),
        ("browser", between("examples/browser-stomp/orders.html", "  const client = ", "</script>")),
        ("java", java[from..to].to_owned()),
    ];
    for (name, snippet) in shown {
        assert!(readme.contains(snippet.trim_end()), "README.md does not show the {name} example as it is");
    }
}
