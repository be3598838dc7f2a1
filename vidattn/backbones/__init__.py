"""Networks from several sources behind one promise: features by stage, strides, offsets."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "Backbone": "backbone",
        "ImageResNet": "image_resnet",
        "LoadReport": "pretrained",
        "MViT": "mvit",
        "R2Plus1D": "r2plus1d",
        "S3D": "video_resnet",
        "Slim": "slim",
        "SlowFast": "slowfast",
        "Stage": "backbone",
        "StagedNetwork": "staged",
        "Step": "staged",
        "Swin3D": "swin",
        "VideoBlocks": "pytorchvideo_networks",
        "VideoResNet": "video_resnet",
        "VideoTransformer": "video_transformer",
        "WeightsMismatchError": "pretrained",
        "build": "built_in",
        "load_weights": "pretrained",
        "names": "built_in",
        "published_weights": "published",
    },
)
