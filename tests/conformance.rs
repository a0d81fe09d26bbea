//! What is the same on a real nats-server and on the server in memory: each of these behaviours is tried on both.
//!
//! They stand with others of their theme, in its file.

/// Makes of each behaviour a test on a real server, and one on the server in memory.
macro_rules! behaviours {
    ($($theme:ident: $($name:ident),* $(,)?;)*) => {
        mod real {
            $(mod $theme {
                $(#[test]
                fn $name() {
                    crate::$theme::$name(jetlane_tests::place::Place::Real);
                })*
            })*
        }
        mod memory {
            $(mod $theme {
                $(#[test]
                fn $name() {
                    crate::$theme::$name(jetlane_tests::place::Place::Memory);
                })*
            })*
        }
    };
}

behaviours! {
    bus:
        an_envelope_arrives_as_it_was_published,
        two_handlers_on_one_consumer_are_chosen_by_the_subject_of_the_message,
        events_of_one_aggregate_are_handled_in_order,
        a_failing_event_holds_up_its_own_aggregate_only,
        a_panicking_handler_is_tried_again_and_takes_nothing_with_it,
        what_can_never_be_handled_is_given_up_and_said,
        raw_messages_are_in_order_by_what_is_asked_for,
        events_without_a_key_are_handled_side_by_side,
        an_event_goes_to_the_handler_of_its_type,
        what_runs_around_handlers_sees_the_event_and_the_verdict,
        a_new_subscription_begins_where_it_is_told,
        an_event_is_acknowledged_while_the_next_one_is_handled,
        a_small_window_leaves_out_nothing,
        close_handles_and_settles_what_is_in_flight,
        a_close_that_runs_out_of_time_says_what_it_left,
        what_waits_for_a_retry_is_given_back_in_order_too,
        a_subscription_does_not_keep_its_bus_alive,
        a_stopped_subscription_goes_on_where_it_was,
        the_events_of_a_dead_process_come_before_newer_ones,
        processes_that_share_a_name_do_not_wait_for_each_other,
        topics_are_ensured_as_the_strategy_says,
        a_plan_says_what_would_change_and_what_would_be_lost_before_anything_is_done,
        a_plan_warns_of_subscriptions_whose_events_are_deleted,
        a_batch_is_stored_in_order_and_up_to_what_is_wrong,
        a_stream_that_others_make_is_checked_or_trusted,
        each_way_not_to_subscribe_or_publish_has_its_own_error,
        an_update_changes_nothing_but_what_is_declared,
        a_consumer_that_is_there_goes_on_where_it_is,
        envelopes_of_all_forms_share_a_stream_in_order;
    listen:
        a_core_topic_goes_to_who_listens_now_and_is_stored_nowhere,
        a_topic_is_persistent_or_core_and_never_both,
        each_way_to_publish_is_for_its_kind_of_topic,
        events_are_heard_once_and_in_order_whatever_their_topic,
        what_a_handler_fails_on_is_told_and_not_tried_again,
        listeners_have_the_handlers_of_subscriptions,
        listeners_of_one_name_hear_all_or_share,
        a_full_queue_drops_what_is_newer_and_tells_so,
        a_close_handles_what_has_come_and_says_what_it_lost,
        a_stopped_listener_hears_nothing_more_and_is_forgotten,
        stored_events_are_heard_and_what_is_redriven_is_no_news,
        each_way_not_to_listen_has_its_own_error;
    dead_letters:
        a_poison_event_is_given_up_and_the_others_go_on_in_order,
        what_is_rejected_panics_or_is_no_event_is_kept_with_its_reason,
        a_letter_that_is_too_large_is_kept_without_its_payload,
        while_letters_can_not_be_stored_the_key_waits_and_nothing_is_lost,
        events_that_the_server_gives_up_are_kept_with_what_stands_in_the_stream,
        an_event_that_was_delivered_too_often_is_not_even_tried;
    batches:
        events_that_come_together_are_handled_together_and_in_order,
        of_a_batch_that_fails_only_the_wrong_one_is_given_up,
        a_batch_can_be_parked_and_goes_on_where_it_stopped,
        of_a_batch_only_the_one_that_was_delivered_too_often_goes,
        a_batch_that_is_stuck_is_given_back_whole;
    parking:
        an_aggregate_is_parked_in_order_over_a_restart_and_others_go_on,
        what_is_rejected_parks_its_aggregate_unless_there_are_dead_letters,
        what_has_no_aggregate_is_parked_by_itself;
    redrive:
        a_parked_aggregate_goes_on_where_it_stopped,
        what_comes_meanwhile_stays_behind_what_is_redriven,
        what_fails_again_is_parked_again_before_those_behind_it,
        a_redrive_that_was_broken_off_is_done_again,
        of_parked_aggregates_all_of_those_picked_are_redriven_and_no_others,
        what_is_redriven_while_nobody_is_there_is_handled_by_who_comes_next,
        others_pass_over_what_is_redriven_for_one,
        dead_letters_are_read_picked_and_redriven,
        letters_need_a_stream;
    breaker:
        while_nothing_works_nothing_is_tried_and_afterwards_all_is_handled_in_order,
        another_process_gets_nothing_while_the_circuit_is_open,
        events_of_other_types_do_not_keep_the_circuit_open;
    jetstream_api:
        messages_are_read_from_the_leader_and_directly_alike,
        a_message_that_is_not_there_is_an_error_of_its_own,
        many_messages_are_read_for_one_request,
        messages_are_deleted_one_by_one_and_many_at_once,
        the_server_takes_every_field_of_a_consumer_and_gives_it_back,
        the_subjects_of_a_stream_are_told_with_their_counts;
    jetstream_events:
        lists_go_on_behind_their_first_page,
        a_consumer_is_paused_and_resumed,
        a_stream_stores_only_what_was_expected,
        what_happens_to_messages_is_told_in_advisories;
    jetstream:
        streams_and_consumers_are_managed,
        publishes_are_stored_in_order_and_duplicates_are_told,
        what_is_not_stored_says_why;
    consume:
        all_messages_are_consumed_in_order_under_each_settlement,
        what_is_given_back_or_dropped_comes_again_and_what_is_terminated_does_not,
        what_is_held_beyond_the_ack_wait_is_kept_alive,
        a_stopped_consumption_gives_back_what_still_arrives,
        a_deleted_consumer_ends_the_messages,
        a_message_is_acknowledged_after_its_messages_were_dropped,
        no_pull_asks_for_more_bytes_than_the_consumer_allows;
    core_nats:
        queued_messages_arrive_in_order_with_all_their_parts,
        inline_callbacks_see_every_message_and_survive_their_own_panics,
        requests_end_with_a_reply_or_say_why_not,
        queue_groups_share,
        large_messages_pass_whole,
        messages_of_all_sizes_pass_a_queue_in_order_and_can_be_kept;
    delivery:
        a_consumer_begins_where_it_is_told,
        what_a_dead_client_held_comes_again_in_order_before_what_is_new,
        no_more_is_delivered_than_may_wait_for_an_ack,
        a_paused_consumer_delivers_nothing,
        those_who_pull_are_told_how_it_ended,
        too_many_who_wait_are_refused_and_all_learn_of_the_end,
        a_consumer_that_nobody_asks_is_deleted;
    retention:
        limits_keep_the_new_or_the_old,
        what_is_too_old_goes,
        what_is_acknowledged_leaves_a_queue;
}
