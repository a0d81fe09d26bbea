use crate::hub::Hub;

/// Does what is due when it is, until all is over.
pub(crate) fn run(hub: &Hub) {
    let mut state = hub.lock();
    while !state.is_over {
        match state.wakes_at {
            None => hub.sooner.wait(&mut state),
            Some(at) => {
                if hub.sooner.wait_until(&mut state, at).timed_out() {
                    Hub::on_time(&mut state);
                }
            }
        }
    }
}
