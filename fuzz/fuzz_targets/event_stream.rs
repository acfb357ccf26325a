#![no_main]

#[path = "../properties/cuts.rs"]
mod cuts;
#[path = "../properties/event_stream.rs"]
mod event_stream;

libfuzzer_sys::fuzz_target!(|input: &[u8]| event_stream::property(input));
