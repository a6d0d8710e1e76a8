"""People who talk to the bot: one request as JSON on a line of stdin, one answer on a line of stdout."""

import asyncio
import json
import sys

from telethon import TelegramClient, errors, events
from telethon.sessions import StringSession
from telethon.tl.functions.messages import GetBotCallbackAnswerRequest

BOT = "tgs_demo_bot"
api_id, api_hash, sessions = int(sys.argv[1]), sys.argv[2], sys.argv[3:]


class Person:
    def __init__(self, session):
        self.client = TelegramClient(StringSession(session), api_id, api_hash, retry_delay=0.2)
        self.messages = {}
        self.received = 0
        self.changed = asyncio.Condition()

    async def connect(self):
        self.client.add_event_handler(self.on_new, events.NewMessage(incoming=True))
        self.client.add_event_handler(self.on_edit, events.MessageEdited())
        await self.client.connect()
        self.bot = await self.client.get_input_entity(BOT)

    async def on_new(self, event):
        self.received += 1
        await self.on_edit(event)

    async def on_edit(self, event):
        async with self.changed:
            if not event.message.out:
                self.messages[event.message.id] = event.message
            self.changed.notify_all()

    def last(self):
        return self.messages[max(self.messages)] if self.messages else None

    async def send(self, text, times=1):
        await asyncio.gather(*(self.client.send_message(self.bot, text) for _ in range(times)))
        return {}

    async def expect(self, text):
        """Waits until the last message of the bot contains the text."""
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

    async def press(self, data):
        """Presses a button of the last message, or one that it does not have."""
        request = GetBotCallbackAnswerRequest(self.bot, self.last().id, data=data.encode())
        try:
            answer = await self.client(request)
            return {"text": answer.message or "", "alert": bool(answer.alert)}
        except errors.RPCError as error:
            return {"error": type(error).__name__}

    async def count(self):
        return {"received": self.received}


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
