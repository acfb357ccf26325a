#![no_main]

#[allow(dead_code, reason = "slices are cut by the scanner itself")]
#[path = "../properties/cuts.rs"]
mod cuts;
#[path = "../properties/json_scan.rs"]
mod json_scan;

libfuzzer_sys::fuzz_target!(|input: &[u8]| json_scan::property(input));
