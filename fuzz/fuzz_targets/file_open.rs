#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kez_fuzz::targets::file_open::run(data));
