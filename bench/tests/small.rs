//! Every trace and every curve once, as small as they come: what is counted exactly has to hold everywhere, times are only
//! looked at by `cargo xtask bench growth`.

use sluice_bench::allocations::Counting;
use sluice_bench::growth::{RUNS, Scale};
use sluice_bench::traces::all;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, because the allocator counts for the whole process.
#[test]
fn traces_are_answered_and_memory_grows_as_promised() {
    for trace in all() {
        let allocations = trace.run(3);
        assert!((0.0..1000.0).contains(&allocations), "{}: {allocations} allocations", trace.name);
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, run) in RUNS {
        let curves = run(&folder.path().join(name), Scale::Small);
        assert!(!curves.is_empty());
        for curve in &curves {
            assert!(curve.points.len() >= 3 && curve.points.iter().all(|(_, y)| y.is_finite()));
            let is_counted = curve.what.contains("memory") || curve.what.contains("allocations");
            assert_eq!(curve.broken().filter(|_| is_counted), None);
        }
    }
}
