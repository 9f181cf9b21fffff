//! Has the page's files read again when one is added or removed.

fn main() {
    println!("cargo:rerun-if-changed=page");
}
