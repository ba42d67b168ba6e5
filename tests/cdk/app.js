// The app that tests/cdk/cdk.out was synthesised from, with aws-cdk-lib 2.276.0: CDK_DISABLE_STACK_TRACE=1 node app.js
// (the *.metadata.json files, construct metadata that nothing here reads, are left out).
const cdk = require('aws-cdk-lib');
const { aws_lambda: lambda, aws_sqs: sqs, aws_s3: s3, aws_sns: sns, aws_dynamodb: dynamodb } = cdk;
class Orders extends cdk.NestedStack {
  constructor(scope, id, props) {
    super(scope, id);
    this.table = new dynamodb.Table(this, 'Orders', { partitionKey: { name: 'id', type: 'S' } });
    this.fn = new lambda.Function(this, 'Handler', {
      runtime: lambda.Runtime.NODEJS_22_X, handler: 'index.handler', code: lambda.Code.fromAsset('src/fn'),
      environment: { TABLE: this.table.tableName, QUEUE: props.queue.queueUrl },
    });
    this.table.grantReadWriteData(this.fn);
    props.queue.grantSendMessages(this.fn);
  }
}
class Shop extends cdk.Stack {
  constructor(scope, id, props) {
    super(scope, id, props);
    this.queue = new sqs.Queue(this, 'Queue');
    const orders = new Orders(this, 'OrdersStack', { queue: this.queue });
    new cdk.CfnOutput(this, 'TableName', { value: orders.table.tableName, description: 'Where orders are' });
  }
}
class Data extends cdk.Stack {
  constructor(scope, id, props) {
    super(scope, id, props);
    this.bucket = new s3.Bucket(this, 'Bucket');
  }
}
class Reports extends cdk.Stack {
  constructor(scope, id, props) {
    super(scope, id, props);
    const fn = new lambda.Function(this, 'Reporter', {
      runtime: lambda.Runtime.NODEJS_22_X, handler: 'index.handler', code: lambda.Code.fromAsset('src/fn'),
      environment: { BUCKET: props.bucket.bucketName },
    });
    props.bucket.grantWrite(fn);
  }
}
class Production extends cdk.Stage {
  constructor(scope, id) { super(scope, id); new Data(this, 'Data'); }
}
const app = new cdk.App({ outdir: 'cdk.out', analyticsReporting: true });
new Shop(app, 'Shop');
const data = new Data(app, 'Data');
new Reports(app, 'Reports', { bucket: data.bucket });
new Production(app, 'Production');
app.synth();
