#![no_main]

#[path = "../properties/cuts.rs"]
mod cuts;
#[path = "../properties/sse.rs"]
mod sse;

libfuzzer_sys::fuzz_target!(|input: &[u8]| sse::property(input));
