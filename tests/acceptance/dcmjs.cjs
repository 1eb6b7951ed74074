// A sender and a receiver that others wrote, in another language: dcmjs-dimse.
//
//   node dcmjs.cjs send PORT FILE...         prints the status of each C-STORE as JSON
//   node dcmjs.cjs receive FOLDER            prints its port, then writes what it gets to FOLDER until it is ended
//
// dcmjs-dimse is looked for in the folder that the environment variable NODE_PATH names.

const fs = require('fs');
const path = require('path');
const { Client, Scp, Server, constants, log, requests, responses } = require('dcmjs-dimse');

const UNCOMPRESSED = [constants.TransferSyntax.ExplicitVRLittleEndian, constants.TransferSyntax.ImplicitVRLittleEndian];

log.setLevel('error');

function send(port, files) {
  const statuses = [];
  const client = new Client();
  for (const file of files) {
    const request = new requests.CStoreRequest(file);
    request.on('response', (response) => statuses.push(response.getStatus()));
    client.addRequest(request);
  }
  client.on('networkError', (error) => {
    console.error(String(error));
    process.exit(1);
  });
  client.on('closed', () => console.log(JSON.stringify(statuses)));
  client.send('127.0.0.1', port, 'DCMJS', 'SURVNODE');
}

function receive(folder) {
  class Archive extends Scp {
    associationRequested(association) {
      for (const { id } of association.getPresentationContexts()) {
        const context = association.getPresentationContext(id);
        const offered = context.getTransferSyntaxUids();
        const taken = UNCOMPRESSED.find((syntax) => offered.includes(syntax));
        if (taken) context.setResult(constants.PresentationContextResult.Accept, taken);
        else context.setResult(constants.PresentationContextResult.RejectTransferSyntaxesNotSupported);
      }
      this.sendAssociationAccept();
    }

    cEchoRequest(request, callback) {
      const response = responses.CEchoResponse.fromRequest(request);
      response.setStatus(constants.Status.Success);
      callback(response);
    }

    cStoreRequest(request, callback) {
      const uid = request.getAffectedSopInstanceUid();
      request.getDataset().toFile(path.join(folder, `${uid}.dcm`));
      const response = responses.CStoreResponse.fromRequest(request);
      response.setStatus(constants.Status.Success);
      callback(response);
    }

    associationReleaseRequested() {
      this.sendAssociationReleaseResponse();
    }
  }

  const server = new Server(Archive);
  server.on('networkError', (error) => console.error(String(error)));
  server.listen(0);
  server.server.on('listening', () => fs.writeSync(1, `${server.server.address().port}\n`));
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'send') send(Number(rest[0]), rest.slice(1));
else receive(rest[0]);
