//! Links each program as `device.ld` says: vectors first, no statics.

fn main() {
    println!("cargo::rerun-if-changed=device.ld");
    println!(
        "cargo::rustc-link-arg-bins=-T{}/device.ld",
        std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default()
    );
}
