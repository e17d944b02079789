#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lightship::fuzzing::restore_plan(data));
