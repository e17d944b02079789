//! The suite that every driver and every layer must pass.
//!
//! A check panics with the name of what was promised and what came instead. Checks use only the trait, so the same
//! ones run on a folder, on a cloud and on any stack of layers.

mod delete;
mod get;
mod keys;
mod list;
mod put;
mod support;

use std::sync::Arc;

use crate::Backend;

/// Runs every check, each on a new and empty store that `make` returns.
///
/// About 1,200 small objects and one of 20 MiB are written. Runs on any tokio runtime, also on one with paused time.
///
/// # Panics
///
/// If the store breaks a promise of [`Backend`].
pub async fn run(make: impl AsyncFn() -> Arc<dyn Backend>) {
    run_without(make, &[]).await;
}

/// The same, for a store that refuses keys with one of the characters in `refused`.
///
/// # Panics
///
/// As [`run`] does.
pub async fn run_without(make: impl AsyncFn() -> Arc<dyn Backend>, refused: &[char]) {
    macro_rules! check {
        ($($check:path),* $(,)?) => {
            $(
                tracing::debug!(check = stringify!($check), "conformance");
                $check(&*make().await).await;
            )*
        };
    }
    check!(
        put::a_put_creates_an_object_and_returns_its_size,
        put::a_second_put_changes_nothing,
        put::a_put_over_replaces_or_creates,
        put::a_put_over_that_fails_leaves_what_was_there,
        put::a_reader_sees_one_of_two_objects_and_never_a_mixture,
        put::of_eight_racers_one_wins,
        put::a_body_that_fails_leaves_nothing,
        put::a_put_that_is_dropped_leaves_nothing,
        put::an_object_is_not_seen_before_it_is_whole,
        put::a_large_stream_comes_back,
        get::a_range_is_read_and_cut_at_the_end,
        get::an_empty_object_is_read,
        get::a_range_of_a_large_object_is_read,
        get::what_is_not_there_is_not_found,
        get::head_tells_size_and_time,
        list::many_keys_are_listed_in_byte_order,
        list::nested_folders_are_in_byte_order,
        list::a_prefix_is_a_folder_and_nothing_more,
        list::an_empty_store_lists_nothing,
        list::folders_are_listed,
        delete::each_key_has_its_own_result,
        delete::many_keys_are_deleted,
        delete::a_deleted_key_can_be_put_again,
        keys::control_characters_and_backslashes_are_kept_or_refused,
        keys::malformed_keys_are_refused,
    );
    keys::odd_keys_are_kept_as_they_are(&*make().await, refused).await;
}

#[cfg(test)]
mod tests;
