//! ESP-IDF's build hands its link arguments on.

fn main() {
    embuild::espidf::sysenv::output();
}
