"""People who talk to the bot: one request as JSON on a line of stdin, one answer on a line of stdout."""

import asyncio
import json
import sys

from telethon import TelegramClient, errors, events
from telethon.crypto import rsa
from telethon.sessions import StringSession
from telethon.tl.functions.messages import GetBotCallbackAnswerRequest

BOT = "tgs_demo_bot"
# How reports of faults begin. On a busy machine they come at any time.
REPORTS = ("🚨 ", "✅ ", "ℹ ")
api_id, api_hash, modulus, exponent, *sessions = sys.argv[1:]
# Pictures lie at the bot's DC, with which a person exchanges keys.
rsa.add_key(rsa.rsa.PublicKey(int(modulus), int(exponent)).save_pkcs1().decode(), old=False)


class Person:
    def __init__(self, session):
        self.client = TelegramClient(StringSession(session), int(api_id), api_hash, retry_delay=0.2)
        self.messages = {}
        self.received = self.answers = 0
        self.changed = asyncio.Condition()

    async def connect(self):
        self.client.add_event_handler(self.on_new, events.NewMessage(incoming=True))
        self.client.add_event_handler(self.on_edit, events.MessageEdited())
        await self.client.connect()
        self.bot = await self.client.get_input_entity(BOT)

    async def on_new(self, event):
        self.received += 1
        self.answers += not event.message.raw_text.startswith(REPORTS)
        await self.on_edit(event)

    async def on_edit(self, event):
        async with self.changed:
            if not event.message.out:
                self.messages[event.message.id] = event.message
            self.changed.notify_all()

    def last(self):
        """The last message that is no report of a fault."""
        answers = [id for id, message in self.messages.items() if not message.raw_text.startswith(REPORTS)]
        return self.messages[max(answers)] if answers else None

    async def send(self, text, times=1):
        await asyncio.gather(*(self.client.send_message(self.bot, text) for _ in range(times)))
        return {}

    async def send_file(self, path):
        """Sends a film, and returns as soon as Telegram has it."""
        await self.client.send_file(self.bot, path, supports_streaming=True)
        return {}

    async def forward_last_file(self):
        """Forwards the last own message with a file to the bot."""
        async for message in self.client.iter_messages(self.bot, limit=50):
            if message.out and message.document:
                await self.client.forward_messages(self.bot, message)
                return {}
        return {"error": "no file"}

    async def picture(self, path, id=None):
        """Saves the picture of a message, or of the last one; the name of its file at Telegram."""
        async with self.changed:
            try:
                async with asyncio.timeout(20):
                    await self.changed.wait_for(lambda: (self.messages[id] if id else self.last()).photo)
            except TimeoutError:
                return {"error": self.last().raw_text}
        message = self.messages[id] if id else self.last()
        await message.download_media(path)
        return {"id": message.id, "photo": str(message.photo.id)}

    async def other_picture(self, id, photo):
        """Waits until a message has another picture."""
        async with self.changed:
            try:
                async with asyncio.timeout(30):
                    await self.changed.wait_for(lambda: str(self.messages[id].photo.id) != photo)
            except TimeoutError:
                return {"error": self.messages[id].raw_text}
        return {}

    async def wait_any(self, text):
        """Waits until any message of the bot contains the text."""
        found = lambda: [message for message in self.messages.values() if text in message.raw_text]
        async with self.changed:
            try:
                async with asyncio.timeout(40):
                    await self.changed.wait_for(found)
            except TimeoutError:
                return {"error": [message.raw_text for message in self.messages.values()]}
        return {"id": found()[-1].id, "text": found()[-1].raw_text}

    async def expect(self, text):
        """Waits until the last message of the bot that is no report contains the text."""
        async with self.changed:
            try:
                async with asyncio.timeout(20):
                    await self.changed.wait_for(lambda: self.last() and text in self.last().raw_text)
            except TimeoutError:
                return {"error": f"{text!r} does not come, but {self.last() and self.last().raw_text!r}"}
        message = self.last()
        rows = message.buttons or []
        marked = [inner for _, inner in message.get_entities_text()]
        kinds = sorted({type(entity).__name__ for entity in message.entities or []})
        return {
            "id": message.id,
            "text": message.raw_text,
            "buttons": [button.data.decode() for row in rows for button in row],
            "marked": marked,
            "kinds": kinds,
        }

    async def edited(self, id, text):
        """Waits until this message contains the text."""
        async with self.changed:
            try:
                async with asyncio.timeout(20):
                    await self.changed.wait_for(lambda: text in self.messages[id].raw_text)
            except TimeoutError:
                return {"error": self.messages[id].raw_text}
        return {"text": self.messages[id].raw_text}

    async def press(self, data, id=None):
        """Presses a button of a message or of the last one; it need not have it."""
        request = GetBotCallbackAnswerRequest(self.bot, id or self.last().id, data=data.encode())
        try:
            answer = await self.client(request)
            return {"text": answer.message or "", "alert": bool(answer.alert)}
        except errors.RPCError as error:
            return {"error": type(error).__name__}

    async def count(self, text=""):
        containing = sum(text in message.raw_text for message in self.messages.values())
        return {"received": self.received, "answers": self.answers, "containing": containing}


async def main():
    people = [Person(session) for session in sessions]
    for person in people:
        await person.connect()
    print("{}", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        person, what = people[request.pop("who")], request.pop("do")
        print(json.dumps(await getattr(person, what)(**request)), flush=True)


asyncio.run(main())
