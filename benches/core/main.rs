//! kez-core beside its peers: what `cargo xtask bench core` runs.
//!
//! Criterion measures each side on its own, for the details. The ratios come from the two sides in turn, see
//! [`measure::Comparison`], and are printed last.

#![expect(clippy::unwrap_used, reason = "a benchmark whose subject fails has nothing to report")]
#![expect(clippy::print_stdout, reason = "the ratios are what this program is for")]

mod chain;
mod envelope;
mod files;
mod manifest;
mod measure;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut ratios = vec![envelope::seal_and_open(&mut criterion)];
    ratios.extend(chain::walk(&mut criterion));
    ratios.push(chain::resume(&mut criterion));
    ratios.push(manifest::open(&mut criterion));
    ratios.extend(files::seal_and_open(&mut criterion));
    criterion.final_summary();
    println!();
    for (name, value) in ratios {
        println!("ratio {name} {value:.3}");
    }
}
