//! Some seeds in each run of the tests; `cargo xtask sim` runs thousands.

use sluice_sim::run;

#[test]
fn fixed_seeds_keep_every_promise() {
    for seed in 0..60 {
        let outcome = run(seed, false);
        assert_eq!(outcome.broken, None, "replay with: SEED={seed} SHOW=1 cargo xtask sim");
        assert!(outcome.tally.crashes >= 5, "seed {seed} has only {} crashes", outcome.tally.crashes);
        assert!(outcome.tally.checks() > 100 && outcome.tally.messages > 10, "seed {seed} does nothing");
    }
}

#[test]
fn a_seed_is_the_same_again() {
    for seed in 1000..1010 {
        let (first, second) = (run(seed, false), run(seed, false));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_ne!(first.trace, run(seed + 1, false).trace, "the trace sees nothing");
    }
}
