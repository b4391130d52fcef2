//! Runs seeds of the simulation: `sim SEED` shows everything that happens in one, `sim FROM TO` runs many.

use std::process::ExitCode;

#[allow(clippy::print_stdout)]
fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (seeds, prints) = match numbers.as_slice() {
        [seed] => (*seed..*seed + 1, true),
        [from, to] => (*from..*to, false),
        _ => {
            println!("usage: sim SEED | sim FROM TO");
            return ExitCode::FAILURE;
        }
    };
    let mut is_well = true;
    for seed in seeds {
        let report = floe_sim::run(seed, prints);
        is_well &= report.violation.is_none();
        println!("{report}");
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
