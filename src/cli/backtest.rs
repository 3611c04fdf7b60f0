//! `limbeck backtest`: two rule files over one log, or what one of them expects.

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::Path;

use super::args::BacktestArgs;
use super::explain::is_stream;
use super::{
    CONFIGURATION, FAILED, RuleFile, USAGE, complain, fail, files, load, print, rule_text,
};
use crate::backtest::{Asked, AskedOfOne, Pair, backtest, calibrate, reliability_table, table};
use crate::replay::{Log, workers_usual};

/// Compares what the arguments name.
pub(super) fn run(args: &BacktestArgs) -> u8 {
    let Some(against) = &args.against else { return calibrate_one(args) };
    let (pair, names) = match pair(args, against) {
        Ok(pair) => pair,
        Err(code) => return code,
    };
    let logs = pair.rules.each_ref().map(|rules| files(&args.log, rules, args.skip_corrupt));
    let [a, b] = match logs {
        [Ok(a), Ok(b)] => [a, b],
        [Err(code), _] | [_, Err(code)] => return code,
    };
    let stream = a.iter().find(|log| log.stored.is_none() && is_stream(&log.path));
    if let (Err(why), Some(stream)) = (&pair.merged, stream) {
        let stream = stream.path.display();
        let what = format!("the log must be read twice ({why}), and {stream} can be read once");
        return fail(USAGE, &what);
    }
    let workers = args.workers.map_or_else(workers_usual, NonZeroUsize::get);
    let logs: [&[Log]; 2] = [&a, &b];
    let asked = Asked { pair: &pair, names, logs, out: &args.out, workers };
    match backtest(&asked) {
        Ok((compared, damaged)) => {
            let printed = print(&table(&compared));
            let damaged = damaged.iter().map(|error| fail(error.exit_code(), error)).max();
            let differ = if compared.is_same() { 0 } else { FAILED };
            damaged.unwrap_or(if printed > 0 { printed } else { differ })
        }
        Err(failure) => fail(failure.exit_code(), &failure),
    }
}

/// Judges what one rule file expects of its faults.
fn calibrate_one(args: &BacktestArgs) -> u8 {
    let RuleFile { name, rules, .. } = match load(&args.rules) {
        Ok(file) => file,
        Err(code) => return code,
    };
    if rules.rules.iter().all(|rule| rule.persistence.is_none()) {
        let what = "no rule has `persistence`, whose probabilities could be measured; name another rule \
                    file to compare with: --against B";
        return fail(USAGE, &what);
    }
    let logs = match files(&args.log, &rules, args.skip_corrupt) {
        Ok(logs) => logs,
        Err(code) => return code,
    };
    let workers = args.workers.map_or_else(workers_usual, NonZeroUsize::get);
    let asked = AskedOfOne { rules: &rules, name, logs: &logs, out: &args.out, workers };
    match calibrate(&asked) {
        Ok((calibrated, damaged)) => {
            let printed = print(&reliability_table(&calibrated));
            let damaged = damaged.iter().map(|error| fail(error.exit_code(), error)).max();
            damaged.unwrap_or(printed)
        }
        Err(failure) => fail(failure.exit_code(), &failure),
    }
}

/// Both rule files, or all that is wrong with either.
fn pair(args: &BacktestArgs, against: &Path) -> Result<(Pair, [String; 2]), u8> {
    let (a, a_text) = rule_text(&args.rules)?;
    let (b, b_text) = rule_text(against)?;
    let pair = Pair::read([(&a, &a_text), (&b, &b_text)]).map_err(|wrong| {
        for of_file in wrong {
            complain(&of_file.render(io::stderr().is_terminal()));
        }
        CONFIGURATION
    })?;
    Ok((pair, [a, b]))
}
