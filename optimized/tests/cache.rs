//! The example does what it says, in short.

#[path = "../examples/cache.rs"]
mod cache;

#[test]
fn every_page_of_the_cache_is_written_back_once_and_nothing_is_left() {
    let told = cache::run(cache::Plan { threads: 3, keys: 20_000, asks: 40_000 }).expect("memory");
    told.check();
    assert_eq!(told.asked, 120_000);
    assert!(told.hits > 0 && told.cycles > 0, "{told:?}");
}
