#![no_main]

#[path = "../properties/expressions.rs"]
mod expressions;

libfuzzer_sys::fuzz_target!(|input: &[u8]| expressions::property(input));
