#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kez_fuzz::targets::claim_proof::run(data));
