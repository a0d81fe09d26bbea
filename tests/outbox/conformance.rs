//! What is the same on SQLite and on PostgreSQL: each of these behaviours is tried on both.
//!
//! They stand with others of their theme, in its file.

/// Makes of each behaviour a test on either database.
macro_rules! behaviours {
    ($($theme:ident: $($name:ident),* $(,)?;)*) => {
        mod sqlite {
            $(mod $theme {
                $(#[test]
                fn $name() {
                    crate::$theme::$name(crate::service::On::Sqlite);
                })*
            })*
        }
        mod postgres {
            $(mod $theme {
                $(#[test]
                fn $name() {
                    crate::$theme::$name(crate::service::On::Postgres);
                })*
            })*
        }
    };
}

behaviours! {
    failures:
        what_was_stored_before_a_crash_is_found_and_not_stored_again_after_any_pause,
        of_a_key_that_others_wrote_to_at_once_the_stored_one_is_found_whatever_came_before_it,
        an_event_that_is_refused_stops_its_key_and_no_other_until_it_is_let_go_on,
        a_full_stream_is_waited_for_and_says_so,
        a_server_that_is_killed_again_and_again_stores_each_event_once,
        what_one_relay_leaves_another_takes_over_at_once,
        two_relays_share_and_each_event_is_stored_once_and_in_order_while_they_do,
        a_unit_is_stored_as_a_whole_and_in_the_order_of_its_keys,
        events_of_a_unit_that_no_one_relay_would_have_are_refused,
        what_was_stored_is_kept_as_history_and_pruned_by_age,
        a_clock_that_is_an_hour_off_changes_nothing,
        a_permission_that_is_revoked_is_told_and_nothing_is_lost_when_it_is_given_back,
        a_stream_that_is_silent_at_a_takeover_holds_up_no_other,
        a_stream_that_falls_silent_holds_up_no_other,
        no_event_overtakes_one_of_its_key_that_waits_for_another_stream,
        a_purged_stream_takes_the_next_events_of_its_keys,
        a_key_that_is_held_up_leaves_room_for_all_others;
    relay:
        what_is_committed_is_published_in_order_and_taken_out,
        what_is_rolled_back_is_never_published;
}
