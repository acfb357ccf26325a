//! Tells the linker in which order the functions of `a6` should stand, see `link-order.txt` beside this file, and to leave
//! the symbols out. Not by the profile's `strip`: that would give the functions other names than they have with symbols.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=link-order.txt");
    println!("cargo:rerun-if-env-changed=A6_LINK_ORDER");
    println!("cargo:rerun-if-env-changed=A6_SYMBOLS");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let is_release = is("PROFILE", "release");
    if is_release && is("CARGO_CFG_TARGET_OS", "linux") && !is("A6_SYMBOLS", "keep") {
        println!("cargo:rustc-link-arg-bins=-Wl,--strip-all");
    }
    // There Rust links with LLD, which knows how. A release build with another linker says A6_LINK_ORDER=none.
    let is_lld = is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu");
    if !is_lld || !is_release || is("A6_LINK_ORDER", "none") {
        return;
    }
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={folder}/link-order.txt");
    println!("cargo:rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
}
