"""A person and a bot, both Telethon: message, keyboard, pressed button, edit, and a gap in between."""

import asyncio
import sys

from telethon import Button, TelegramClient, events
from telethon.sessions import StringSession
from telethon.tl import functions

bot_session, person_session, api_id, api_hash, token = sys.argv[1:]


async def main():
    bot = TelegramClient(StringSession(bot_session), int(api_id), api_hash)
    person = TelegramClient(StringSession(person_session), int(api_id), api_hash)

    @bot.on(events.NewMessage(incoming=True))
    async def on_message(event):
        sender = await event.get_sender()
        text = f"{event.sender_id} {sender.lang_code} {event.raw_text}"
        await event.respond(text, buttons=[[Button.inline("press", b"data")]])

    @bot.on(events.CallbackQuery())
    async def on_press(event):
        await event.answer(f"pressed by {event.sender_id}", alert=True)
        await event.edit(f"edited {event.data.decode()}")

    answers, edits = asyncio.Queue(), asyncio.Queue()
    person.add_event_handler(lambda event: answers.put(event.message), events.NewMessage(incoming=True))
    person.add_event_handler(lambda event: edits.put(event.raw_text), events.MessageEdited())

    async with asyncio.timeout(30):
        await bot.start(bot_token=token)
        await person.connect()
        await person.send_message("tgs_demo_bot", "hello")
        message = await answers.get()
        print(message.raw_text)
        pressed = await message.click(0)
        print(pressed.alert, pressed.message)
        print(await edits.get())
        history = await person.get_messages("tgs_demo_bot", limit=10)
        print([(message.out, message.raw_text) for message in history])
        state = await person(functions.updates.GetStateRequest())
        print(state.pts)
        await bot.disconnect()
        await person.disconnect()


asyncio.run(main())
