#![no_main]

#[path = "../properties/conversion.rs"]
mod conversion;
#[path = "../properties/cuts.rs"]
mod cuts;

use a6_protocols::Conversion;

libfuzzer_sys::fuzz_target!(|input: &[u8]| conversion::property(Conversion::MessagesToChat, input));
