// A receiver of webhooks for tests: what the reference library of Standard Webhooks believes is written as a line of JSON.
// Arguments: port, file, secret.
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { Webhook } = require(path.join(__dirname, '../../../../target/clients/webhooks/node_modules/standardwebhooks'))

const [port, file, secret] = process.argv.slice(2)
const server = http.createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const text = Buffer.concat(chunks).toString('utf8')
    let row
    try {
      row = { path: request.url, id: request.headers['webhook-id'], body: new Webhook(secret).verify(text, request.headers) }
      response.statusCode = 204
    } catch (error) {
      row = { path: request.url, refused: String(error) }
      response.statusCode = 401
    }
    fs.appendFileSync(file, JSON.stringify(row) + '\n')
    response.end()
  })
})
server.listen(Number(port), '127.0.0.1', () => console.error('listening'))
