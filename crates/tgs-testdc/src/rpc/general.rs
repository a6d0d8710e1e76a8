//! `help.*` and `users.*`: a client's first calls.

use std::net::SocketAddr;

use grammers_tl_types::{enums, functions, types};

use super::{Answer, Caller, Method, error};
use crate::{message::now, objects};

fn dc_option(id: i32, addr: &SocketAddr) -> enums::DcOption {
    let option = types::DcOption {
        ipv6: addr.is_ipv6(),
        media_only: false,
        tcpo_only: false,
        cdn: false,
        r#static: true,
        this_port_only: false,
        id,
        ip_address: addr.ip().to_string(),
        port: addr.port().into(),
        secret: None,
    };
    option.into()
}

impl Method for functions::help::GetConfig {
    const OPEN: bool = true;

    /// Lists the test DCs only. `static` tells the client to keep these addresses.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Config> {
        let dc_options = caller.state.dcs.iter().map(|(&id, addr)| dc_option(id, addr));
        let config = types::Config {
            default_p2p_contacts: false,
            preload_featured_stickers: false,
            revoke_pm_inbox: false,
            blocked_mode: false,
            force_try_ipv6: false,
            date: now() + caller.state.world.clock_ahead,
            expires: now() + caller.state.world.clock_ahead + 3600,
            test_mode: false,
            this_dc: caller.dc_id,
            dc_options: dc_options.collect(),
            dc_txt_domain_name: "testdc.invalid".to_owned(),
            chat_size_max: 200,
            megagroup_size_max: 200_000,
            forwarded_count_max: 100,
            online_update_period_ms: 210_000,
            offline_blur_timeout_ms: 5000,
            offline_idle_timeout_ms: 30_000,
            online_cloud_timeout_ms: 300_000,
            notify_cloud_delay_ms: 30_000,
            notify_default_delay_ms: 1500,
            push_chat_period_ms: 60_000,
            push_chat_limit: 2,
            edit_time_limit: 172_800,
            revoke_time_limit: i32::MAX,
            revoke_pm_time_limit: i32::MAX,
            rating_e_decay: 2_419_200,
            stickers_recent_limit: 200,
            channels_read_media_period: 604_800,
            tmp_sessions: None,
            call_receive_timeout_ms: 20_000,
            call_ring_timeout_ms: 90_000,
            call_connect_timeout_ms: 30_000,
            call_packet_timeout_ms: 10_000,
            me_url_prefix: "https://t.me/".to_owned(),
            autoupdate_url_prefix: None,
            gif_search_username: None,
            venue_search_username: None,
            img_search_username: None,
            static_maps_provider: None,
            caption_length_max: 1024,
            message_length_max: 4096,
            webfile_dc_id: caller.dc_id,
            suggested_lang_code: None,
            lang_pack_version: None,
            base_lang_pack_version: None,
            reactions_default: None,
            autologin_token: None,
        };
        Ok(config.into())
    }
}

impl Method for functions::help::GetNearestDc {
    const OPEN: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::NearestDc> {
        let (this_dc, nearest_dc) = (caller.dc_id, caller.dc_id);
        Ok(types::NearestDc { country: "XX".to_owned(), this_dc, nearest_dc }.into())
    }
}

/// The named account, if it exists and the access hash is valid.
fn find(caller: &Caller<'_>, viewer: i64, input: &enums::InputUser) -> Option<i64> {
    match input {
        enums::InputUser::UserSelf => Some(viewer),
        enums::InputUser::User(user) => {
            let known = caller.state.account(user.user_id)?.user_id;
            (known == viewer || user.access_hash == caller.state.access_hash(viewer, known)).then_some(known)
        }
        enums::InputUser::Empty | enums::InputUser::FromMessage(_) => None,
    }
}

impl Method for functions::users::GetUsers {
    /// Omits unknown users.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<Vec<enums::User>> {
        let me = caller.me()?.user_id;
        let found = self.id.iter().filter_map(|input| find(caller, me, input));
        let accounts = found.filter_map(|id| caller.state.account(id));
        Ok(accounts.map(|account| objects::user(caller.state, me, account)).collect())
    }
}

impl Method for functions::users::GetFullUser {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::users::UserFull> {
        let me = caller.me()?.user_id;
        let Some(account) = find(caller, me, &self.id).and_then(|id| caller.state.account(id)) else {
            return error("USER_ID_INVALID");
        };
        let full_user = objects::user_full(account);
        let users = vec![objects::user(caller.state, me, account)];
        Ok(types::users::UserFull { full_user, chats: Vec::new(), users }.into())
    }
}
