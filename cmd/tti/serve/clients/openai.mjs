// OpenAI's client for JavaScript against tti serve: node openai.mjs BASE_URL. The server has llama, a model for chats.
import assert from 'node:assert/strict'
import OpenAI from 'openai'

const client = new OpenAI({ baseURL: process.argv[2], apiKey: 'unused', maxRetries: 0 })
const request = { model: 'llama', messages: [{ role: 'user', content: 'Tell me a story' }], seed: 3, max_tokens: 40 }

const whole = await client.chat.completions.create(request)
assert.equal(whole.choices[0].message.role, 'assistant')
assert.ok(whole.choices[0].message.content)
assert.equal(whole.usage.completion_tokens, 40)

// The same in pieces, put together by the client's own helper.
const helper = client.chat.completions.stream({ ...request, stream_options: { include_usage: true } })
const final = await helper.finalChatCompletion()
assert.equal(final.choices[0].message.content, whole.choices[0].message.content)
assert.equal(final.choices[0].finish_reason, whole.choices[0].finish_reason)
assert.equal(final.usage.total_tokens, whole.usage.total_tokens)
assert.equal(final.system_fingerprint, whole.system_fingerprint)

// A completion: the seed that an answer tells gives it again.
const first = await client.completions.create({ model: 'llama', prompt: 'Once', max_tokens: 20 })
const again = await client.completions.create({ model: 'llama', prompt: 'Once', max_tokens: 20, seed: first.seed })
assert.equal(again.choices[0].text, first.choices[0].text)

// A client that goes away.
const left = await client.chat.completions.create({ ...request, max_tokens: 400, stream: true })
for await (const _ of left) break
const controller = new AbortController()
setTimeout(() => controller.abort(), 5)
await assert.rejects(client.chat.completions.create({ ...request, n: 30, max_tokens: 450 }, { signal: controller.signal }), OpenAI.APIUserAbortError)

// Errors are of the client's own classes.
await assert.rejects(client.chat.completions.create({ ...request, model: 'gpt-5' }), OpenAI.NotFoundError)
await assert.rejects(
  client.chat.completions.create({ ...request, tools: [{ type: 'function', function: { name: 'f' } }] }),
  (e) => e instanceof OpenAI.BadRequestError && e.param === 'tools' && e.code === 'unsupported_parameter')

const names = []
for await (const model of client.models.list()) names.push(model.id)
assert.deepEqual(names, ['draft', 'llama'])
console.log('openai: passed')
