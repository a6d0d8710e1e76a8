"""Telethon with a session string: who it is, its dialogs, a name, and the calls that start a live stream."""

import asyncio
import sys

from telethon import TelegramClient, errors, functions
from telethon.sessions import StringSession

string, api_id, api_hash = sys.argv[1:]


async def main():
    async with TelegramClient(StringSession(string), int(api_id), api_hash, connection_retries=1) as client:
        me = await client.get_me()
        assert (me.id, me.first_name, me.is_self) == (5000000001, "Alice", True), me
        dialogs = await client.get_dialogs()
        ids = [dialog.id for dialog in dialogs]
        assert ids == [-1002000000001, -1002000000002, -4000001], ids
        assert len(await client.get_dialogs(limit=2)) == 2
        channel = await client.get_entity("@tgs_demo")
        assert channel.broadcast and channel.creator, channel

        full = (await client(functions.channels.GetFullChannelRequest(channel))).full_chat
        assert full.call is None, full.call
        await client(functions.phone.CreateGroupCallRequest(
            peer=channel, random_id=1, rtmp_stream=True, title="first"))
        full = (await client(functions.channels.GetFullChannelRequest(channel))).full_chat
        call = (await client(functions.phone.GetGroupCallRequest(full.call, limit=1))).call
        assert call.rtmp_stream and call.title == "first", call
        await client(functions.phone.EditGroupCallTitleRequest(full.call, title="by Telethon"))

        group = await client.get_entity(-1002000000002)
        try:
            await client(functions.phone.CreateGroupCallRequest(peer=group, random_id=2, rtmp_stream=True))
            raise AssertionError("a call without the right to it")
        except errors.ChatAdminRequiredError:
            pass
        sessions = await client(functions.account.GetAuthorizationsRequest())
        assert any(session.current for session in sessions.authorizations), sessions

        answer = await client(functions.phone.GetGroupCallStreamRtmpUrlRequest(peer=channel, revoke=False))
        print(answer.url + answer.key)


asyncio.run(main())
