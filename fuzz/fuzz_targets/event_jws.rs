#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kez_fuzz::targets::event_jws::run(data));
