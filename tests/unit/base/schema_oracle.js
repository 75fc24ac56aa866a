// SPDX-License-Identifier: Apache-2.0
// Compares base/schema with ajv over schemas and values made at random from a fixed seed.
// usage: schema_oracle.js SCHEMA_LINES   (ajv is found through CAISSON_NPM; without it: exit 77, a named skip)
'use strict'
const { spawnSync } = require('child_process')
const path = require('path')

const npm = process.env.CAISSON_NPM
let Ajv
try {
  Ajv = require(require.resolve('ajv/dist/2020', { paths: [npm || path.join(__dirname, 'none')] }))
} catch {
  console.log('SKIP ajv is not installed below CAISSON_NPM')
  process.exit(77)
}

// A small generator of random numbers, so that every run compares the same cases.
let state = 20260102
const random = (below) => {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0
  return Math.floor((state / 4294967296) * below)
}
const pick = (list) => list[random(list.length)]
const some = (count, make) => Array.from({ length: random(count + 1) }, make)

const keys = ['a', 'b', 'a/b', '~', '%', 'é']
const scalars = [null, true, false, 0, 1, -1, 2, 3, 1.5, 1e300, 9007199254740991, '', 'a', 'ab', 'é', '😀😀', 'long text']
const value = (depth) => {
  const kind = depth > 0 ? random(5) : 4
  if (kind === 0) return some(3, () => value(depth - 1))
  if (kind < 3) return Object.fromEntries(some(3, () => [pick(keys), value(depth - 1)]))
  return pick(scalars)
}
const types = ['null', 'boolean', 'object', 'array', 'number', 'integer', 'string']
const unique = (list) => [...new Set(list)]
const distinct = (list) => [...new Map(list.map((item) => [JSON.stringify(item), item])).values()]
const schemas = (depth) => [schema(depth), ...some(2, () => schema(depth))]

const keywords = {
  type: () => (random(2) ? pick(types) : unique([pick(types), pick(types)])),
  enum: () => distinct([value(1), ...some(3, () => value(1))]),
  const: () => value(1),
  minimum: () => random(4),
  maximum: () => random(4),
  exclusiveMinimum: () => random(3) - 0.5,
  exclusiveMaximum: () => random(4),
  minLength: () => random(3),
  maxLength: () => random(4),
  minItems: () => random(3),
  maxItems: () => random(4),
  minProperties: () => random(3),
  maxProperties: () => random(4),
  required: () => unique(some(2, () => pick(keys))),
  properties: (depth) => Object.fromEntries(some(3, () => [pick(keys), schema(depth)])),
  additionalProperties: schema,
  items: schema,
  allOf: schemas,
  anyOf: schemas,
  oneOf: schemas,
  not: schema,
  $ref: () => pick(['#/$defs/x', '#/$defs/y', '#/$defs/a~1b', '#/%24defs/%25']),
}
const nesting = ['properties', 'additionalProperties', 'items', 'allOf', 'anyOf', 'oneOf', 'not']
function schema (depth) {
  if (random(12) === 0) return random(3) > 0
  const made = {}
  for (let i = random(4); i >= 0; i--) {
    const name = pick(Object.keys(keywords))
    if (depth > 0 || !nesting.includes(name)) made[name] = keywords[name](depth - 1)
  }
  return made
}
// Definitions refer to nothing in place, so no circle; #/$defs/y is applied to ever deeper parts of the value.
const leaf = () => { const made = schema(0); if (typeof made === 'object') delete made.$ref; return made }
const document = () => {
  const made = schema(3)
  if (typeof made !== 'object') return made
  made.$defs = { x: leaf(), y: { items: { $ref: '#/$defs/y' }, additionalProperties: { $ref: '#/$defs/y' }, maxItems: 2 },
    'a/b': leaf(), '%': leaf() }
  return made
}

const count = 4000
const cases = Array.from({ length: count }, () => ({ schema: document(), values: Array.from({ length: 8 }, () => value(3)) }))
const ran = spawnSync(process.argv[2], { input: cases.map((one) => JSON.stringify(one) + '\n').join(''), maxBuffer: 1 << 26 })
if (ran.status !== 0) throw new Error(`${process.argv[2]} ended with ${ran.status}: ${ran.stderr}`)
const ours = ran.stdout.toString().trimEnd().split('\n')
if (ours.length !== count) throw new Error(`${ours.length} answers for ${count} cases`)

const ajv = new Ajv({ strict: false, logger: false, addUsedSchema: false })
let accepted = 0
let refused = 0
cases.forEach((one, i) => {
  const judge = ajv.compile(one.schema)
  const theirs = one.values.map((item) => (judge(item) ? '1' : '0')).join('')
  if (theirs !== ours[i]) {
    console.error(`case ${i}: ajv says ${theirs}, base/schema says ${ours[i]}: ${JSON.stringify(one)}`)
    process.exit(1)
  }
  accepted += theirs.split('1').length - 1
  refused += theirs.split('0').length - 1
})
if (accepted < count || refused < count) throw new Error('the cases are lopsided: the comparison says little')
console.log(`${count} schemas, ${accepted} values accepted and ${refused} refused by both`)
