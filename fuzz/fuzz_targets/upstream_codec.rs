#![no_main]

#[path = "../properties/cuts.rs"]
mod cuts;
#[path = "../properties/upstream_codec.rs"]
mod upstream_codec;

libfuzzer_sys::fuzz_target!(|input: &[u8]| upstream_codec::property(input));
