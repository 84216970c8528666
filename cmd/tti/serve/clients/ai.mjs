// Vercel's AI SDK against tti serve: node ai.mjs BASE_URL. The server has llama, a model for chats.
import assert from 'node:assert/strict'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, streamText, APICallError } from 'ai'

const tti = createOpenAICompatible({ name: 'tti', baseURL: process.argv[2], includeUsage: true })
const request = { model: tti('llama'), prompt: 'Tell me a story', seed: 3, maxOutputTokens: 40, maxRetries: 0 }

const whole = await generateText(request)
assert.ok(whole.text)
assert.equal(whole.usage.outputTokens, 40)

const stream = streamText(request)
let text = ''
for await (const piece of stream.textStream) text += piece
assert.equal(text, whole.text)
assert.equal(await stream.finishReason, whole.finishReason)
assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens)

// A conversation goes on.
const next = await generateText({
  ...request, prompt: undefined,
  messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Hello.' }, { role: 'user', content: [{ type: 'text', text: 'A story' }] }],
})
assert.ok(next.text)

// A client that goes away.
const controller = new AbortController()
const left = streamText({ ...request, maxOutputTokens: 400, abortSignal: controller.signal })
for await (const _ of left.textStream) { controller.abort(); break }

await assert.rejects(generateText({ ...request, model: tti('none') }), (e) => APICallError.isInstance(e) && e.statusCode === 404)
console.log('ai: passed')
