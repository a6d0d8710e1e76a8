"""A person and a bot exchange files: photo and video in parts, forwarded, replaced by an edit, and read in pieces.

The person's home is another DC than the bot's."""

import asyncio
import io
import sys

from telethon import TelegramClient, errors, events
from telethon.crypto import rsa
from telethon.sessions import StringSession
from telethon.tl import functions, types

bot_session, person_session, api_id, api_hash, modulus, exponent, picture, other_picture = sys.argv[1:]

# A key exchange with the DC that has the file.
rsa.add_key(rsa.rsa.PublicKey(int(modulus), int(exponent)).save_pkcs1().decode(), old=False)


async def main():
    bot = TelegramClient(StringSession(bot_session), int(api_id), api_hash)
    person = TelegramClient(StringSession(person_session), int(api_id), api_hash)
    received, answers, edits = asyncio.Queue(), asyncio.Queue(), asyncio.Queue()
    bot.add_event_handler(lambda event: received.put(event.message), events.NewMessage(incoming=True))
    person.add_event_handler(lambda event: answers.put(event.message), events.NewMessage(incoming=True))
    person.add_event_handler(lambda event: edits.put(event.message), events.MessageEdited())

    async with asyncio.timeout(60):
        await bot.connect()
        await person.connect()
        me = await person.get_me()
        for length in (300_000, 11_000_000):
            media = bytes(n % 251 for n in range(length))
            upload = io.BytesIO(media)
            upload.name = f"film {length}.mp4"
            await person.send_file("tgs_demo_bot", upload, caption="a film", supports_streaming=True)
            message = await received.get()
            whole = await message.download_media(bytes)
            print(message.file.name, message.file.mime_type, message.file.size, whole == media, message.raw_text)
        piece = await anext(bot.iter_download(message.document, offset=1_048_576, request_size=4096, limit=1))
        print(bytes(piece) == media[1_048_576 : 1_048_576 + 4096])
        location = types.InputDocumentFileLocation(
            message.document.id, message.document.access_hash, message.document.file_reference, ""
        )
        try:
            await bot(functions.upload.GetFileRequest(location, 0, 4096))
        except errors.FileMigrateError as error:
            print("at DC", error.new_dc)
        try:
            await person(functions.upload.GetFileRequest(location, 4096, 1_048_576))
        except errors.LimitInvalidError:
            print("limit invalid")

        sent = (await person.get_messages("tgs_demo_bot", limit=1))[0]
        await person.forward_messages("tgs_demo_bot", sent)
        message = await received.get()
        print(message.forward.from_name, message.file.name, message.file.size)

        shown = await bot.send_file(me.id, picture, caption="a picture")
        message = await answers.get()
        print(message.photo is not None, message.raw_text, await message.download_media(bytes) == open(picture, "rb").read())
        await bot.edit_message(shown, "another", file=other_picture)
        message = await edits.get()
        print(message.raw_text, await message.download_media(bytes) == open(other_picture, "rb").read())
        again = await bot.get_messages(me.id, ids=shown.id)
        print(again.raw_text, again.photo is not None)
        await bot.disconnect()
        await person.disconnect()


asyncio.run(main())
