//! Tests of the oracle itself.
mod oracle;
#[test]
fn gen_runs() {
    for seed in 0..300 {
        let case = oracle::logs::case(seed);
        let e = oracle::expected(&case.spec, &case.partitions);
        if seed < 20 {
            println!("{seed} {:?} eps {} upd {}", e.counts, e.episodes.len(), e.updates.len());
        }
    }
}
